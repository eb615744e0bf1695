"""Hops that are away, die or take nothing: others wait for them, in bounded time and memory."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from driver.models import ModelOf, encoded
from driver.processes import until
from faults.figures import Figure
from faults.history import Verdict, judge
from faults.hops import Hop, chain
from faults.proxy import Fault, Way, only_the_next, proxy_to
from faults.sending import put_alone, sender_of, transport_to

from weightcast.wire.header import PART_SYMBOLS
from weightcast_web.running.sockets import bind, url_of

pytestmark = pytest.mark.slow

MB = 1 << 20


def test_a_receiver_that_takes_nothing_stops_the_senders_and_does_not_fill_the_link(
    figure: Figure, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, seed=9)
    flights, offered = 2, 16
    with (
        chain(tmp_path, WEIGHTCAST_LINK_MAX_FLIGHTS=str(flights)) as own,
        ThreadPoolExecutor(offered) as pool,
    ):
        with own.caller() as client:
            path = client.open(sent.header)
            assert client.put_part(path, 1, sent.parts[1]).status_code == 204
        before = own.link.memory_peak()
        own.receiver.proxy.cut_all()
        own.receiver.proxy.plan = lambda n: Fault(up=Way(stall_at=10_000))
        started = own.receiver.proxy.connections
        calls = [pool.submit(put_alone, own.url, path, sent.parts[0]) for _ in range(offered)]
        until(lambda: own.receiver.proxy.connections == started + flights)
        settled = 0
        while (now := own.link.proxy.passed["up"]) != settled:
            settled = now
            threading.Event().wait(0.5)  # The senders still fill the system's buffers.
        growth = own.link.memory_peak() - before
        own.receiver.proxy.release()
        assert {call.result() for call in calls} == {204}
        assert own.parts(path) == [0, 1]
    # Of each flight the part as it came and as it goes on, and pieces on their way.
    assert growth < flights * 2 * len(sent.parts[0]) + 16 * MB
    figure(
        9,
        f"{offered} parts of 4 MiB offered, {flights} flights allowed, receiver stalled: "
        f"the link grew by {growth / MB:.0f} MiB",
    )


def test_a_link_that_dies_in_mid_send_and_returns_is_waited_for(
    figure: Figure, model_of: ModelOf, tmp_path: Path
) -> None:
    with (
        chain(tmp_path) as own,
        sender_of(model_of(PART_SYMBOLS + 1000)) as large,
        transport_to(own.url, tries=20) as (transport, recorder),
        ThreadPoolExecutor(1) as pool,
    ):
        own.link.proxy.plan = only_the_next(Fault(up=Way(stall_at=100_000)))
        sending = pool.submit(large.send, transport)
        until(lambda: own.link.proxy.passed["up"] >= 100_000)
        own.link.kill()
        own.link.proxy.cut_all()
        until(lambda: sum(not call.is_acknowledged for call in recorder.calls) >= 3)
        own.link.start()
        assert sending.result()["weights_digest"] == large.digest()
        with own.receiver.caller() as client:
            verdict = judge(recorder.calls, own.data, client, lambda key: large.digest())
    assert verdict == Verdict()
    figure(10, f"link killed in mid-send: {verdict}")


def test_a_receiver_that_has_vanished_is_a_502_and_nothing_piles_up_in_the_link(
    figure: Figure, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, seed=10)
    with chain(tmp_path) as own, own.caller() as client:
        path = client.open(sent.header)
        assert client.put_part(path, 0, sent.parts[0]).status_code == 204
        before = own.link.memory_peak()
        own.receiver.kill()
        answers = [client.put_part(path, 1, sent.parts[1]) for _ in range(20)]
        growth = own.link.memory_peak() - before
        own.receiver.start()
        assert client.put_part(path, 1, sent.parts[1]).status_code == 204
    assert {answer.status_code for answer in answers} == {502}
    assert max(answer.elapsed.total_seconds() for answer in answers) < 5
    assert growth < 5 * len(sent.parts[0])
    figure(11, f"20 parts for a receiver that is gone: 502, the link grew by {growth / MB:.1f} MiB")


def test_a_receiver_that_takes_no_connection_is_a_504_within_the_connect_timeout(
    figure: Figure, tmp_path: Path
) -> None:
    with bind("127.0.0.1", 0) as listener, socket.socket() as waiting, proxy_to(None) as front:
        listener.listen(0)
        waiting.connect(listener.getsockname())  # Now its queue is full.
        words = ["weightcast_link.cli", f"--receiver={url_of(listener)}"]
        link = Hop(words, front, tmp_path / "link.log", {"WEIGHTCAST_LINK_CONNECT_TIMEOUT_S": "1"})
        link.start()
        answer = httpx.get(f"{link.url}/transmissions", timeout=60)
        link.kill()
    assert answer.status_code == 504
    took_s = answer.elapsed.total_seconds()
    assert 1 <= took_s < 1 + 1
    figure(11, f"a connection that is not accepted: 504 after {took_s:.1f} s of 1 s")
