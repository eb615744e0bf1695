"""A signal to stop: what is in flight ends, nothing that was acknowledged is lost."""

import http.client
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from driver.calls import Caller
from driver.models import encoded
from driver.services import Driver

from weightcast.channels.awgn import AWGN
from weightcast.noise.gaussian import Noise
from weightcast.wire.digest import digest_of
from weightcast.wire.header import PART_SYMBOLS
from weightcast.wire.symbols import STAMP
from weightcast_client.calling.transport import Transport
from weightcast_web.running.run import CLOSING_S

AWGN_STAMP = {STAMP: "awgn"}


def begin_part(url: str, path: str, body: bytes) -> http.client.HTTPConnection:
    """Send all of a part but its last byte, once the service waits for the body."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.putrequest("PUT", f"{path}/parts/0")
    fields = {"content-length": str(len(body)), "content-digest": digest_of(body)}
    for name, value in (fields | AWGN_STAMP | {"expect": "100-continue"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.sock.recv(len(go_on), socket.MSG_WAITALL) == go_on
    connection.send(body[:-1])
    return connection


def is_refusing(url: str) -> bool:
    """Whether a service has stopped listening."""
    try:
        httpx.get(f"{url}/health/live")
    except httpx.TransportError:
        return True
    return False


def test_what_is_in_flight_ends_and_the_process_with_it(
    driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    with driver.receiver(tmp_path) as receiver:
        path = receiver.open(sent.header)
        connection = begin_part(receiver.url, path, sent.parts[0])
        with receiver.stream("GET", f"{path}/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("data: ")
            receiver.process.send_signal(signal.SIGTERM)
            list(lines)  # The stream ends, and in order.
        while not is_refusing(receiver.url):
            pass
        connection.send(sent.parts[0][-1:])
        assert connection.getresponse().status == 204
        connection.close()
        assert receiver.process.wait(30) == 0
    (part,) = (tmp_path / path[1:] / "parts").iterdir()
    assert part.read_bytes() == sent.parts[0]


def test_what_does_not_end_is_cut_off_after_the_grace_period(
    driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    env = {"WEIGHTCAST_SERVER_GRACE_S": "1"}
    with driver.receiver(tmp_path, env=env) as receiver:
        with Caller(base_url=receiver.url) as caller:
            path = caller.open(sent.header)
        connection = begin_part(receiver.url, path, sent.parts[0])
        receiver.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert receiver.process.wait(30) == 0
        assert 1 <= time.monotonic() - began < 1 + 1
        connection.close()
    assert CLOSING_S < 1
    assert list((tmp_path / path[1:] / "parts").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("hop", ["receiver", "link"])
def test_a_hop_that_is_stopped_and_started_in_mid_transfer_changes_no_bit(
    hop: str, driver: Driver, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, seed=11, std=0.5)
    with driver.ends(tmp_path) as (link, receiver):
        with Caller(base_url=receiver.url) as caller:
            path = caller.open(sent.header)
        transport = Transport(
            link.url, connect_timeout_s=5, answer_timeout_s=60, tries=1000, first_wait_s=0.05
        )
        has_begun = threading.Event()

        def send() -> None:
            for _ in range(3):
                for n, part in enumerate(sent.parts):
                    transport.put_part(path.rpartition("/")[2], n, memoryview(part))
                    has_begun.set()

        sender = threading.Thread(target=send)
        sender.start()
        has_begun.wait()
        stopped = receiver if hop == "receiver" else link
        assert stopped.stop() == 0
        with (
            driver.receiver(tmp_path, port=stopped.port)
            if hop == "receiver"
            else driver.link(receiver.url, port=stopped.port)
        ):
            sender.join()
            transport.close()
            stored = sorted((tmp_path / path[1:] / "parts").iterdir())
    for n, (file, part) in enumerate(zip(stored, sent.parts, strict=True)):
        symbols = np.frombuffer(part, np.float32)
        noisy = AWGN(std=0.5).transmit(symbols, n * PART_SYMBOLS, Noise(seed=11))
        assert file.read_bytes() == noisy.tobytes()
