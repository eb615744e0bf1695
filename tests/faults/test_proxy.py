"""The proxy does to a connection what it says, and nothing else."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from faults.proxy import Fault, FaultProxy, Way, proxy_to

TEXT = bytes(range(256)) * 400


@contextmanager
def echo() -> Iterator[str]:
    """Run a service that sends back what it gets; yield its URL."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=send_back, args=[connection], daemon=True).start()

    def send_back(connection: socket.socket) -> None:
        with connection:
            try:
                while piece := connection.recv(1 << 16):
                    connection.sendall(piece)
            except OSError:
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def said(proxy: FaultProxy) -> tuple[list[bytes], bool]:
    """Send TEXT through a proxy; return the segments that came back and whether it was reset."""
    host, _, port = proxy.url.rpartition("/")[2].rpartition(":")
    segments = []
    try:
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(TEXT)
            connection.shutdown(socket.SHUT_WR)
            while segment := connection.recv(1 << 16):
                segments.append(segment)
    except ConnectionError:
        return segments, True
    return segments, False


def through(fault: Fault) -> tuple[bytes, bool, FaultProxy]:
    with echo() as url, proxy_to(url, lambda n: fault) as proxy:
        segments, was_reset = said(proxy)
        return b"".join(segments), was_reset, proxy


def test_without_a_fault_everything_passes() -> None:
    text, was_reset, proxy = through(Fault())
    assert (text, was_reset) == (TEXT, False)
    assert (proxy.passed["up"], proxy.passed["down"]) == (len(TEXT), len(TEXT))
    assert (proxy.connections, proxy.cuts) == (1, 0)


@pytest.mark.parametrize("at", [0, 1, 1000, 65_536, len(TEXT) - 1])
def test_a_cut_lets_exactly_the_bytes_before_it_pass(at: int) -> None:
    text, _, proxy = through(Fault(down=Way(cut_at=at)))
    assert text == TEXT[:at]
    assert proxy.cuts == 1
    _, _, proxy = through(Fault(up=Way(cut_at=at)))
    assert proxy.passed["up"] == at


def test_a_reset_is_a_reset() -> None:
    text, was_reset, _ = through(Fault(up=Way(cut_at=10), resets=True))
    assert was_reset
    assert len(text) <= 10


def test_slices_are_no_longer_than_they_may_be() -> None:
    with echo() as url, proxy_to(url, lambda n: Fault(up=Way(slice_bytes=7))) as proxy:
        segments, _ = said(proxy)
    assert b"".join(segments) == TEXT
    assert len(segments) > 100  # The echo sends a segment back for each that came, or a few.


def test_a_stall_lasts_until_it_is_released() -> None:
    with echo() as url, proxy_to(url, lambda n: Fault(up=Way(stall_at=500))) as proxy:
        found: list[bytes] = []
        thread = threading.Thread(target=lambda: found.extend(said(proxy)[0]))
        thread.start()
        while proxy.passed["up"] < 500:
            pass
        thread.join(0.1)
        assert thread.is_alive() and proxy.passed["up"] == 500
        proxy.release()
        thread.join()
    assert b"".join(found) == TEXT


def test_delay_and_bandwidth_take_the_time_they_should() -> None:
    began = time.monotonic()
    text, _, _ = through(Fault(up=Way(delay_s=0.2), down=Way(bytes_per_s=4 * len(TEXT))))
    assert text == TEXT
    assert 0.2 + 0.25 * 0.9 <= time.monotonic() - began < 5


def test_a_service_that_is_not_there_is_a_connection_that_breaks_off() -> None:
    with proxy_to(None) as proxy:
        segments, was_reset = said(proxy)
    assert segments == [] and was_reset


def test_all_connections_can_be_cut_at_once() -> None:
    with echo() as url, proxy_to(url, lambda n: Fault(down=Way(stall_at=0))) as proxy:
        found: list[bool] = []
        threads = [threading.Thread(target=lambda: found.append(said(proxy)[1])) for _ in range(3)]
        for thread in threads:
            thread.start()
        while proxy.passed["up"] < 3 * len(TEXT):
            pass
        proxy.cut_all()
        for thread in threads:
            thread.join()
    assert found == [True] * 3
