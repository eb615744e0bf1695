"""Killed or stopped at any step: what was acknowledged is there, once and whole."""

import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from driver.calls import Caller
from driver.models import ModelOf, changed_setup, encoded
from driver.processes import until
from faults.figures import Figure, Times
from faults.history import Recorder, Verdict, judge, pipeline_digest
from faults.hops import Chain, Hop, chain, receiver_in
from faults.proxy import Fault, Way
from faults.sending import calls_of, put_alone, sender_of, transport_to

from weightcast.channels.awgn import AWGN
from weightcast.coding import SCHEMES
from weightcast.models import zoo
from weightcast.setup import Setup
from weightcast.wire.header import PART_SYMBOLS
from weightcast_web.failpoints import PLACES

SCHEME = "adaptive-redundancy"
TWO_PARTS = PART_SYMBOLS + 1000
GRACE_S = 5
"""For what is under way when a service is asked to end."""
IN_EVERY_RUN = ("created", "part-renamed", "side-kept", "queued", "model-renamed", "reported")
QUICK = ("part-renamed", "queued")


def marks_of(place: str) -> list[pytest.MarkDecorator]:
    if place in QUICK:
        return []
    return [pytest.mark.slow if place in IN_EVERY_RUN else pytest.mark.torture]


STEPS = [place for place in PLACES if place != "evaluating"]


@pytest.mark.parametrize("place", [pytest.param(place, marks=marks_of(place)) for place in STEPS])
def test_a_receiver_killed_at_any_step_keeps_what_it_acknowledged_and_does_nothing_twice(
    place: str, receiver: Hop, model_of: ModelOf, tmp_path: Path
) -> None:
    path = model_of(TWO_PARTS)
    sent = encoded(path, SCHEME, "noiseless")
    receiver.start(WEIGHTCAST_SERVER_FAILPOINT=f"kill {place} {1 + place.startswith('part')}")
    recorder = Recorder(httpx.HTTPTransport())

    def client() -> Caller:
        return Caller(transport=recorder, base_url=receiver.url, timeout=60)

    with pytest.raises(httpx.TransportError), client() as first:
        for answer in calls_of(sent, first):
            assert answer.is_success
        first.get(f"/transmissions/{answer.json()['id']}/events")
    assert receiver.wait() == -9
    receiver.start()
    with client() as second:
        for answer in calls_of(sent, second):
            assert answer.is_success, answer.text
        assert second.end_of(f"/transmissions/{answer.json()['id']}")["state"] == "done"
        right = pipeline_digest(path, Setup(scheme=SCHEMES[SCHEME](), channel=AWGN(std=0)))
        assert judge(recorder.calls, tmp_path / "data", second, lambda key: right) == Verdict()
    assert not list(tmp_path.rglob("*.new"))


def kill_in_mid_part(receiver: Hop, path: str, part: bytes, at: int) -> None:
    """Kill a receiver when so many bytes of the request for a part have come by."""
    before = receiver.proxy.passed["up"]
    receiver.proxy.plan = lambda n: Fault(up=Way(stall_at=at))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(put_alone, receiver.proxy.url, path, part)
        until(lambda: receiver.proxy.passed["up"] == before + at)
        receiver.kill()
        assert call.result() == 0
    receiver.proxy.plan = lambda n: Fault()


@pytest.mark.slow
def test_a_receiver_killed_in_mid_part_has_whole_parts_only(
    receiver: Hop, times: Times, figure: Figure, model_of: ModelOf, tmp_path: Path
) -> None:
    sent = encoded(model_of(TWO_PARTS), SCHEME, "noiseless")
    chance = random.Random(14)
    kills = times(3, 100)
    whole: list[str] = []
    for _ in range(kills):
        receiver.start()
        with receiver.caller() as client:
            for path in whole:
                assert client.there(path)["parts"] == [0]
            opened = [client.create(sent.header).headers["location"] for _ in range(2)]
            assert client.put_part(opened[0], 0, sent.parts[0]).status_code == 204
            whole.append(opened[0])
        kill_in_mid_part(
            receiver, opened[1], sent.parts[0], chance.randrange(1, len(sent.parts[0]))
        )
        assert list((tmp_path / "data" / opened[1][1:] / "parts").glob("0.*")) == []
    for path in whole:
        (file,) = (tmp_path / "data" / path[1:] / "parts").iterdir()
        assert file.read_bytes() == sent.parts[0]
    receiver.start()
    figure(14, f"{kills} kills in mid-part: all {kills} acknowledged parts whole, no torn part")


@pytest.mark.slow
def test_a_receiver_asked_to_end_in_a_transfer_ends_in_time_and_the_transfer_goes_on_later(
    receiver: Hop, figure: Figure, model_of: ModelOf
) -> None:
    sent = encoded(model_of(TWO_PARTS), SCHEME, "noiseless")
    receiver.start()
    with receiver.caller() as client:
        calls = calls_of(sent, client)
        path = next(calls).headers["location"]
        assert next(calls).status_code == 204
    receiver.proxy.plan = lambda n: Fault(up=Way(stall_at=1000))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(put_alone, receiver.proxy.url, path, sent.parts[0])
        until(lambda: receiver.proxy.passed["up"] == 1000)
        began = time.monotonic()
        receiver.terminate()
        receiver.wait()
        took_s = time.monotonic() - began
        assert call.result() in (0, 500)
    assert took_s < GRACE_S + 1
    receiver.start()
    with receiver.caller() as client:
        assert client.there(path) == {"parts": [0], "side": False}
        assert all(answer.is_success for answer in calls_of(sent, client))
        assert client.end_of(path)["state"] == "done"
    figure(18, f"ended {took_s:.1f} s after SIGTERM, the transfer went on after the start")


@pytest.mark.cifar
@pytest.mark.slow
def test_a_receiver_killed_in_an_evaluation_evaluates_again_with_the_same_result(
    figure: Figure, tmp_path: Path
) -> None:
    sent = encoded(zoo.find(zoo.DEFAULT_MODEL), SCHEME, "noiseless")
    sent = sent._replace(header=changed_setup(sent.header, task="cifar10", n_samples=50))
    with receiver_in(tmp_path) as own:
        own.start(WEIGHTCAST_SERVER_FAILPOINT="kill evaluating 1")
        with own.caller() as client:
            *_, last = calls_of(sent, client)
            path = f"/transmissions/{last.json()['id']}"
            with pytest.raises(httpx.TransportError):
                client.get(f"{path}/events")
        assert own.wait() == -9
        own.start()
        with own.caller() as client:
            report = client.end_of(path)["report"]
            assert len(client.listed()) == 1
            assert client.delete(path).status_code == 204
            *_, last = calls_of(sent, client)
            again = client.end_of(f"/transmissions/{last.json()['id']}")["report"]
    assert report["n_images"] == again["n_images"] == 50
    assert report["correct"] == again["correct"]
    assert report["weights_digest"] == again["weights_digest"]
    figure(16, f"one result; {report['correct']} of 50 images with and without the kill")


@pytest.mark.slow
@pytest.mark.parametrize("which", ["link", "receiver"])
def test_a_hop_that_stands_still_is_waited_for_and_nothing_is_doubled(
    which: str, is_torture: bool, figure: Figure, model_of: ModelOf, tmp_path: Path
) -> None:
    still_s = 30 if is_torture else 0
    with (
        chain(tmp_path, WEIGHTCAST_LINK_ANSWER_TIMEOUT_S="2") as hops,
        sender_of(model_of(TWO_PARTS)) as sender,
        transport_to(hops.url, answer_timeout_s=2, tries=1000) as (transport, recorder),
        ThreadPoolExecutor(1) as pool,
    ):
        hop: Hop = getattr(hops, which)
        hop.proxy.plan = lambda n: Fault(up=Way(stall_at=100_000))
        sending = pool.submit(sender.send, transport)
        until(lambda: hop.proxy.passed["up"] >= 100_000)
        hop.stop()
        hop.proxy.plan = lambda n: Fault()
        hop.proxy.release()
        tried, began = len(recorder.calls), time.monotonic()
        until(lambda: len(recorder.calls) >= tried + 3 and time.monotonic() - began >= still_s)
        hop.go_on()
        result = sending.result()
        with hops.receiver.caller() as client:
            verdict = judge(recorder.calls, hops.data, client, lambda key: sender.digest())
    assert verdict == Verdict()
    assert result["weights_digest"] == sender.digest()
    figure(23, f"{which} stopped for {still_s} s: {verdict}")


@pytest.mark.slow
def test_a_sender_killed_while_it_fetches_the_model_leaves_no_file(
    hops: Chain, model_path: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    hops.link.proxy.plan = lambda n: Fault(down=Way(stall_at=100_000))
    words = ["send", "--std=0.1", "--no-evaluate", f"--model={model_path}", f"--link={hops.url}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "weightcast_client.cli", *words],
        env=os.environ | {"TMPDIR": str(scratch)},
        stderr=subprocess.DEVNULL,
    )
    # All answers but the model are short: the connection that stalls is the one that fetches it.
    until(lambda: hops.link.proxy.passed["down"] >= 100_000)
    process.kill()
    process.wait()
    assert list(scratch.iterdir()) == []
