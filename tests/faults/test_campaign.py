"""Many transmissions while everything happens at once: none is lost, doubled or torn."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import httpx
import pytest
from driver.models import ModelOf
from driver.processes import until
from faults.chaos import chaos_in
from faults.figures import Figure, Times
from faults.history import Call, Verdict, judge
from faults.hops import Chain
from faults.proxy import Fault, Way
from faults.sending import Sender, sender_of, transport_to

from weightcast.errors import BadUse, Gone, LinkError
from weightcast.models import zoo

pytestmark = pytest.mark.slow

SENDERS = 4
MOST_SENDS = 20
KEPT = 2


@pytest.fixture
def say(is_torture: bool, capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Shows the progress of the long version."""

    def show(text: str) -> None:
        if is_torture:
            with capsys.disabled():
                print(text, flush=True)

    return show


def send_until_it_is_done(sender: Sender, url: str, draw: int) -> tuple[str, list[Call]]:
    """Send as a patient user does: what gives up is sent again under its key."""
    calls: list[Call] = []
    for left in reversed(range(MOST_SENDS)):
        with transport_to(url, answer_timeout_s=10) as (transport, recorder):
            recorder.calls = calls
            try:
                return sender.send(transport, draw, key=str(draw))["weights_digest"], calls
            except LinkError as error:
                if isinstance(error, BadUse | Gone) or not left:
                    raise
    raise AssertionError


def campaign(
    hops: Chain, sender: Sender, count: int, seed: int, pause_s: float, say: Callable[[str], None]
) -> tuple[Verdict, str]:
    """Send a model so many times while everything happens; return the verdict and the figure."""
    began = time.monotonic()
    calls: list[Call] = []
    with (
        chaos_in(hops, seed, pause_s) as chaos,
        ThreadPoolExecutor(SENDERS) as pool,
    ):
        draws = {
            pool.submit(send_until_it_is_done, sender, hops.url, draw): draw
            for draw in range(count)
        }
        for done, future in enumerate(as_completed(draws), 1):
            digest, history = future.result()
            assert digest == sender.digest(draws[future])
            calls += history
            if done % max(1, count // 20) == 0:
                say(f"{done} of {count} after {time.monotonic() - began:.0f} s: {chaos.events}")
    with hops.receiver.caller() as client:
        verdict = judge(calls, hops.data, client, lambda key: sender.digest(int(key)))
    assert not list(hops.data.rglob("*.new"))
    for hop in (hops.link, hops.receiver):
        assert "Traceback" not in hop.log()
    failed = sum(not call.is_acknowledged for call in calls)
    happened = ", ".join(f"{n} {what}" for what, n in sorted(chaos.events.items()))
    return verdict, (
        f"{count} transmissions in {time.monotonic() - began:.0f} s: {verdict}; "
        f"{happened}; {failed} of {len(calls)} calls failed"
    )


@pytest.mark.timeout(3600)
def test_transmissions_amid_kills_cuts_stops_and_slowness_are_never_lost_doubled_or_torn(
    hops: Chain, times: Times, figure: Figure, say: Callable[[str], None], model_of: ModelOf
) -> None:
    with sender_of(model_of(20_000)) as sender:
        verdict, text = campaign(hops, sender, times(8, 500), 2026, 2.0, say)
    figure(15, text)
    assert verdict == Verdict()


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_full_models_amid_kills_cuts_stops_and_slowness_are_never_lost_doubled_or_torn(
    hops: Chain, figure: Figure, say: Callable[[str], None]
) -> None:
    with sender_of(zoo.find(zoo.DEFAULT_MODEL)) as sender:
        verdict, text = campaign(hops, sender, 20, 2027, 8.0, say)
    figure(15, f"ResNet-18: {text}")
    assert verdict == Verdict()


def files_at_rest(hops: Chain) -> list[int]:
    """Return how many files link and receiver have open when nobody calls them."""
    both = (hops.link, hops.receiver)
    httpx.get(f"{hops.url}/transmissions")  # A link drops dead connections when it needs one.
    for hop in both:
        hop.proxy.cut_all()
    counts: list[list[int]] = []
    # At rest is what stays the same for half a second.

    def are_at_rest() -> bool:
        counts.append([hop.open_files() for hop in both])
        return is_steady(counts[-50:])

    until(are_at_rest)
    return counts[-1]


def is_steady(counts: list[list[int]]) -> bool:
    return len(counts) == 50 and all(count == counts[0] for count in counts)


def test_broken_calls_leave_no_open_file_in_any_hop(
    hops: Chain, times: Times, figure: Figure, model_of: ModelOf
) -> None:
    sends = times(5, 50)
    with (
        sender_of(model_of(20_000)) as sender,
        transport_to(hops.url, tries=50, first_wait_s=0.01) as (transport, _),
    ):
        sender.send(transport)
        before = files_at_rest(hops)
        for hop in (hops.link, hops.receiver):
            hop.proxy.plan = lambda n: Fault(up=Way(cut_at=40_000)) if n % 2 else Fault()
        for draw in range(1, sends + 1):
            sender.send(transport, draw)
        cuts = hops.link.proxy.cuts + hops.receiver.proxy.cuts
        after = files_at_rest(hops)
    figure(54, f"open files of link and receiver: {before}, after {cuts} cuts {after}")
    assert cuts >= sends
    # The link keeps some connections to the receiver for later calls.
    assert all(left <= right + KEPT for left, right in zip(after, before, strict=True))
