"""A signal to stop: what is in flight ends, nothing that was acknowledged is lost."""

import http.client
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from weightcast.channels.awgn import AWGN
from weightcast.noise.gaussian import Noise
from weightcast.wire.digest import digest_of
from weightcast.wire.header import PART_SYMBOLS
from weightcast.wire.symbols import STAMP
from weightcast_client.sending.transport import Transport
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
    running: Any, encoded: Any, opened: Any, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    with running(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=30) as client:
        path = opened(client, sent.header)
        connection = begin_part(url, path, sent.parts[0])
        with client.stream("GET", f"{path}/events") as events:
            lines = events.iter_lines()
            assert next(lines).startswith("data: ")
            process.send_signal(signal.SIGTERM)
            list(lines)  # The stream ends, and in order.
        while not is_refusing(url):
            pass
        connection.send(sent.parts[0][-1:])
        assert connection.getresponse().status == 204
        connection.close()
        assert process.wait(30) == 0
    (part,) = (tmp_path / path[1:] / "parts").iterdir()
    assert part.read_bytes() == sent.parts[0]


def test_what_does_not_end_is_cut_off_after_the_grace_period(
    running: Any, encoded: Any, opened: Any, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    env = os.environ | {"WEIGHTCAST_SERVER_GRACE_S": "1"}
    with running(tmp_path, env=env) as (process, url):
        with httpx.Client(base_url=url, timeout=30) as client:
            path = opened(client, sent.header)
        connection = begin_part(url, path, sent.parts[0])
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.wait(30) == 0
        assert 1 <= time.monotonic() - began < 1 + 1
        connection.close()
    assert CLOSING_S < 1
    assert list((tmp_path / path[1:] / "parts").iterdir()) == []


@pytest.mark.parametrize("hop", ["receiver", "link"])
def test_a_hop_that_is_stopped_and_started_in_mid_transfer_changes_no_bit(
    hop: str, running: Any, encoded: Any, opened: Any, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, seed=11, std=0.5)
    with running(tmp_path) as (receiver, url), running(None, receiver=url) as (link, link_url):
        with httpx.Client(base_url=url) as client:
            path = opened(client, sent.header)
        transport = Transport(
            link_url, connect_timeout_s=5, answer_timeout_s=60, tries=1000, first_wait_s=0.05
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
        stopped, address = (receiver, url) if hop == "receiver" else (link, link_url)
        stopped.send_signal(signal.SIGTERM)
        assert stopped.wait(30) == 0
        again = {"port": urlsplit(address).port}
        with running(tmp_path, **again) if hop == "receiver" else running(None, url, **again):
            sender.join()
            transport.close()
            stored = sorted((tmp_path / path[1:] / "parts").iterdir())
    for n, (file, part) in enumerate(zip(stored, sent.parts, strict=True)):
        symbols = np.frombuffer(part, np.float32)
        noisy = AWGN(std=0.5).transmit(symbols, n * PART_SYMBOLS, Noise(seed=11))
        assert file.read_bytes() == noisy.tobytes()
