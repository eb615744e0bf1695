"""Connections that are cut, reset, slow, far or sliced: what arrives is as if they were not."""

import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from driver.models import ModelOf, encoded
from faults.figures import Figure, Times
from faults.history import Call, Verdict, judge, weights_digest
from faults.hops import Chain, Hop, chain
from faults.proxy import Fault, Way, only_the_next
from faults.sending import Sender, put_alone, sender_of, transport_to

from weightcast.errors import BadUse
from weightcast.wire.digest import digest_of

pytestmark = pytest.mark.slow

MB = 1 << 20
SMALL = 20_000
HOPS = ["link", "receiver"]


@pytest.fixture(scope="module")
def hops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A `Chain` for all tests of this module."""
    with chain(tmp_path_factory.mktemp("chain")) as own:
        yield own


@pytest.fixture(autouse=True)
def network_is_whole(hops: Chain) -> Iterator[None]:
    """No fault of a test stays for the next one."""
    yield
    for hop in (hops.link, hops.receiver):
        hop.proxy.plan = lambda n: Fault()
        hop.proxy.cut_all()


@pytest.fixture(scope="module")
def sender(model_of: ModelOf) -> Iterator[Sender]:
    with sender_of(model_of(SMALL)) as own:
        yield own


@pytest.mark.parametrize("where", HOPS)
def test_a_part_cut_at_any_byte_is_not_there_and_is_taken_when_it_is_sent_again(
    where: str, hops: Chain, times: Times, figure: Figure, model_of: ModelOf
) -> None:
    sent = encoded(model_of(SMALL), seed=3)
    hop: Hop = getattr(hops, where)
    chance = random.Random(f"row 1 {where}")
    cuts = times(20, 100)
    for n in range(1, cuts + 1):
        with hops.receiver.caller() as client:
            path = client.open(sent.header)
        before = hop.proxy.cuts
        hop.proxy.cut_all()
        way = Way(cut_at=chance.randrange(len(sent.parts[0])))
        hop.proxy.plan = only_the_next(Fault(up=way, resets=n % 2 == 0))
        assert put_alone(hops.url, path, sent.parts[0]) in (0, 400, 502)
        assert hop.proxy.cuts == before + 1
        assert hops.parts(path) == []
        assert put_alone(hops.url, path, sent.parts[0]) == 204
        assert hops.parts(path) == [0]
    figure(1, f"{cuts} cuts before the {where}: nothing kept of a cut part, {cuts} taken again")


def test_a_send_whose_connections_are_cut_again_and_again_equals_an_uncut_one(
    times: Times, figure: Figure, sender: Sender, tmp_path: Path
) -> None:
    sends = times(4, 40)
    with (
        chain(tmp_path) as own,
        # Most tries get nowhere here, so six in vain in a row are no wonder.
        transport_to(own.url, tries=50, first_wait_s=0.01) as (transport, recorder),
    ):
        for hop, seed in ((own.link, 1), (own.receiver, 2)):
            hop.proxy.plan = often_cut(random.Random(seed))
        for draw in range(sends):
            result = sender.send(transport, draw)
            assert result["weights_digest"] == sender.digest(draw)
        calls = recorder.calls
        cuts = own.link.proxy.cuts + own.receiver.proxy.cuts
        with own.receiver.caller() as client:
            verdict = judge(calls, own.data, client, digests_of(sender, calls))
    assert verdict == Verdict()
    assert cuts > sends
    figure(1, f"{sends} sends through {cuts} cuts: {verdict}")


def often_cut(chance: random.Random) -> Callable[[int], Fault]:
    """Return a plan that cuts or resets two connections of three at a random byte."""

    def plan(n: int) -> Fault:
        way = Way(cut_at=int(10 ** chance.uniform(0, 5.5)))
        way, other = (way, Way()) if chance.random() < 0.5 else (Way(), way)
        return Fault(up=way, down=other, resets=chance.random() < 0.5)

    return plan


def digests_of(sender: Sender, calls: list[Call]) -> Callable[[str], str]:
    """Return the digest that must arrive by key: a sender opens its transmissions in order."""
    keys = list(dict.fromkeys(call.key for call in calls if call.key is not None))
    return lambda key: sender.digest(keys.index(key))


@pytest.mark.parametrize("where", HOPS)
def test_an_answer_that_is_lost_is_given_again_and_nothing_is_done_twice(
    where: str, hops: Chain, figure: Figure, model_of: ModelOf
) -> None:
    sent = encoded(model_of(SMALL), seed=4)
    hop: Hop = getattr(hops, where)

    def repeated(method: str, path: str, body: bytes = b"", **fields: str) -> httpx.Response:
        """Make a call, lose its answer, make it again."""
        before = hop.proxy.cuts
        hop.proxy.cut_all()
        hop.proxy.plan = lambda n: Fault(down=Way(cut_at=0))
        with hops.caller() as client, suppress(httpx.TransportError):
            assert client.upload(path, body, method, **fields).status_code == 502
        assert hop.proxy.cuts == before + 1
        hop.proxy.plan = lambda n: Fault()
        with hops.caller() as client:
            answer: httpx.Response = client.upload(path, body, method, **fields)
        assert answer.is_success, answer.text
        return answer

    before = set((hops.data / "transmissions").iterdir())
    opening = repeated("POST", "/transmissions", sent.header.to_bytes(), idempotency_key=where)
    path = opening.headers["location"]
    assert set((hops.data / "transmissions").iterdir()) - before == {hops.data / path[1:]}
    with hops.caller() as client:
        client.get(f"{path}/header")
    repeated("PUT", f"{path}/parts/0", sent.parts[0])
    repeated("PUT", f"{path}/side", sent.side)
    repeated("POST", f"{path}/complete")
    with hops.caller() as client:
        report = client.end_of(path)["report"]
        model = (hops.data / path[1:] / "model.safetensors").stat()
        assert repeated("POST", f"{path}/complete").json()["report"] == report
        assert client.end_of(path)["report"] == report
    assert (hops.data / path[1:] / "model.safetensors").stat() == model
    figure(2, f"4 kinds of call, answer lost before the {where}: one transmission, decoded once")


def test_one_byte_at_a_time_is_slow_but_whole(
    hops: Chain, figure: Figure, sender: Sender, model_of: ModelOf
) -> None:
    for hop in (hops.link, hops.receiver):
        hop.proxy.plan = lambda n: Fault(up=Way(slice_bytes=1), down=Way(slice_bytes=1))
    with (
        sender_of(model_of(2000)) as small,
        transport_to(hops.url) as (transport, recorder),
    ):
        result = small.send(transport)
        assert result["weights_digest"] == small.digest()
    assert all(call.is_acknowledged for call in recorder.calls)
    figure(7, "segments of 1 byte on every hop: no call failed, bit-equal")


def test_chunks_of_one_byte_are_joined_in_bounded_memory(
    hops: Chain, figure: Figure, model_of: ModelOf
) -> None:
    sent = encoded(model_of(SMALL), seed=5)
    part = sent.parts[0]
    with hops.caller() as client:
        path = client.open(sent.header)
        assert client.put_part(path, 0, part).status_code == 204
        before = hops.link.memory_peak(), hops.receiver.memory_peak()
        fields = {"content-digest": digest_of(part)}
        for target, body in ((f"{path}/parts/0", part), (f"{path}/side", sent.side)):
            fields = {"content-digest": digest_of(body)}
            chunks = (body[at : at + 1] for at in range(len(body)))
            assert client.put(target, content=chunks, headers=fields).status_code == 204
    growth = max(
        hops.link.memory_peak() - before[0],
        hops.receiver.memory_peak() - before[1],
    )
    assert growth < 8 * MB
    figure(7, f"{len(part)} HTTP chunks of 1 byte: memory grew by {growth / MB:.1f} MiB")


def test_a_slow_and_distant_network_costs_time_but_no_try(
    hops: Chain, times: Times, figure: Figure, model_of: ModelOf
) -> None:
    far = Way(delay_s=0.1, jitter_s=0.2, bytes_per_s=1e6)
    n_weights = times(200_000, 2_300_000)
    for hop in (hops.link, hops.receiver):
        hop.proxy.plan = lambda n: Fault(up=far, down=far)
    cpu_s = hops.link.cpu_s()
    began = time.monotonic()
    with (
        sender_of(model_of(n_weights)) as large,
        transport_to(hops.url) as (transport, recorder),
    ):
        result = large.send(transport)
        took_s = time.monotonic() - began
        cpu_s = hops.link.cpu_s() - cpu_s
        assert result["weights_digest"] == large.digest()
    assert all(call.is_acknowledged for call in recorder.calls)
    assert cpu_s < 0.5 * took_s
    figure(
        8,
        f"{4 * n_weights / 1e6:.1f} MB at 1 MB/s and 200 ms: {took_s:.0f} s, no call failed, "
        f"the link used {cpu_s:.1f} s of CPU",
    )


@pytest.mark.parametrize("where", HOPS)
def test_a_model_that_breaks_off_again_and_again_is_fetched_once(
    where: str, hops: Chain, figure: Figure, model_path: Path, tmp_path: Path
) -> None:
    proxy = getattr(hops, where).proxy
    with sender_of(model_path) as large, transport_to(hops.url) as (transport, _):
        result = large.send(transport)
        proxy.cut_all()
        proxy.plan = lambda n: Fault(down=Way(cut_at=2_000_000))
        before, cuts = hops.link.proxy.passed["down"], proxy.cuts
        transport.save_model(result["transmission"], tmp_path / "model")
        passed, cuts = hops.link.proxy.passed["down"] - before, proxy.cuts - cuts
        assert weights_digest(tmp_path / "model") == large.digest()
    length = (tmp_path / "model").stat().st_size
    assert cuts >= length // 2_000_000
    assert length < passed < 1.2 * length
    assert "Traceback" not in hops.link.log() + hops.receiver.log()
    megabytes = f"{passed / 1e6:.1f} MB passed for {length / 1e6:.1f} MB"
    figure(10, f"a model fetched through {cuts} cuts before the {where}: {megabytes}")


@pytest.mark.parametrize("where", HOPS)
def test_a_refusal_that_comes_while_the_sender_still_sends_is_what_the_sender_shows(
    where: str, hops: Chain, figure: Figure, model_path: Path
) -> None:
    sent = encoded(model_path, channel="noiseless")
    slow = Fault(up=Way(bytes_per_s=5e6, delay_s=0.05))
    hop: Hop = getattr(hops, where)
    hop.proxy.plan = lambda n: slow
    too_long = memoryview(sent.parts[0] * 2)
    with transport_to(hop.proxy.url) as (transport, recorder):
        id_ = transport.create(sent.header.to_bytes(), f"refused by the {where}")
        with pytest.raises(BadUse, match="refused with 413: a body of 8388608 bytes"):
            transport.put_part(id_, 0, too_long)
    assert [call.status for call in recorder.calls if call.method == "PUT"] == [413]
    figure(13, f"8 MiB at 5 MB/s refused by the {where} at its head: 413 shown, one try")


@pytest.mark.parametrize("where", HOPS)
def test_one_byte_too_much_is_enough_for_a_refusal(
    where: str, hops: Chain, figure: Figure, model_of: ModelOf
) -> None:
    sent = encoded(model_of(SMALL), channel="noiseless")
    hop: Hop = getattr(hops, where)
    with hop.caller() as client:
        path = client.open(sent.header)
    head = f"PUT {path}/parts/0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    head += f"Content-Digest: {digest_of(sent.parts[0])}\r\n\r\n"
    body = b"%x\r\n%b\r\n1\r\n1\r\n" % (len(sent.parts[0]), sent.parts[0])
    address = hop.url.rpartition("/")[2].split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=60) as connection:
        connection.sendall(head.encode() + body)  # And no end.
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert hops.parts(path) == []
    figure(6, f"one byte more than promised, without an end: the {where} answers 413 at once")
