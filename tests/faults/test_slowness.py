"""Slow and numerous callers: they are cut off, and the others hardly notice."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from driver.calls import Caller
from driver.models import encoded
from driver.processes import until
from faults.figures import Figure, Times
from faults.hops import Chain
from faults.raw import answer_on, is_closed, is_problem, line_to, services_in, shout

from weightcast.wire.digest import digest_of

pytestmark = pytest.mark.slow

HOPS = ["link", "receiver"]
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
N_SLOW = 200
DEADLINES = {
    f"WEIGHTCAST_{service}_{name}": "1"
    for service in ("LINK", "SERVER")
    for name in ("HEAD_TIMEOUT_S", "IDLE_TIMEOUT_S", "BODY_GRACE_S", "STALL_TIMEOUT_S")
}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Services whose deadlines are one second."""
    with services_in(tmp_path_factory.mktemp("hasty"), **DEADLINES) as hops:
        yield hops


def head_of(path: str, body: bytes, length: int | None = None) -> bytes:
    """Return the head of a part as a link passes it on; a link ignores no field of it."""
    length = len(body) if length is None else length
    head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
    return f"{head}Content-Digest: {digest_of(body)}\r\n\r\n".encode()


def drip(line: socket.socket, bytes_: bytes, within_s: float) -> float:
    """Send a byte every 50 ms; return after how many seconds the service had enough."""
    line.settimeout(0.05)
    began = time.monotonic()
    while (passed := time.monotonic() - began) < within_s:
        try:
            line.send(bytes_)
            if not line.recv(65536):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return passed


@pytest.mark.parametrize(
    "begin", [b"", b"GET /health HTTP/1.1\r\nX: ", GET + b"\r\n"], ids=["none", "cut", "whole"]
)
@pytest.mark.parametrize("hop", HOPS)
def test_a_connection_without_a_whole_head_in_time_is_closed(
    hop: str, begin: bytes, hasty: Chain
) -> None:
    with line_to(getattr(hasty, hop).url, 5) as line:
        began = time.monotonic()
        line.sendall(begin)
        assert is_closed(line)
        assert 0.9 < time.monotonic() - began < 3


@pytest.mark.parametrize(
    ("begin", "byte"),
    [(b"", b"G"), (GET + b"X: ", b"a"), (b"", b"\r\n"), (GET + b"\r\n", b"\r\n")],
    ids=["method", "field", "no request", "between requests"],
)
@pytest.mark.parametrize("hop", HOPS)
def test_further_bytes_do_not_put_the_deadline_off(
    hop: str, begin: bytes, byte: bytes, hasty: Chain
) -> None:
    with line_to(getattr(hasty, hop).url, 5) as line:
        line.sendall(begin)
        assert drip(line, byte, within_s=5) < 3


@pytest.mark.parametrize("hop", HOPS)
def test_a_slow_head_is_told_so(hop: str, hasty: Chain) -> None:
    assert is_problem(shout(getattr(hasty, hop).url, GET), 408)


@pytest.mark.parametrize("hop", HOPS)
def test_a_slow_body_is_told_so_and_nothing_of_it_is_kept(
    hop: str, hasty: Chain, small_path: Path
) -> None:
    sent = encoded(small_path, channel="noiseless")
    with hasty.receiver.caller() as client:
        path = client.open(sent.header)
        for target, body in ((f"{path}/parts/0", sent.parts[0]), (f"{path}/side", sent.side)):
            answer = shout(getattr(hasty, hop).url, head_of(target, body) + body[:-1])
            assert is_problem(answer, 408)
        assert client.there(path) == {"parts": [], "side": False}


@pytest.mark.parametrize("hop", HOPS)
def test_a_body_that_was_refused_may_not_go_on_for_ever(hop: str, hasty: Chain) -> None:
    with line_to(getattr(hasty, hop).url) as line:
        line.sendall(head_of(f"/transmissions/{'0' * 32}/parts/0", b"", length=1 << 40))
        assert is_problem(answer_on(line), 404)
        assert drip(line, b"a" * 1000, within_s=15) < 8


@pytest.fixture(scope="module")
def model(hasty: Chain, model_path: Path) -> str:
    """The path of a model that has arrived, of some MiB."""
    sent = encoded(model_path, channel="noiseless")
    with hasty.link.caller() as client:
        path = client.deliver(sent)
        client.complete(path)
        assert client.end_of(path)["state"] == "done"
    return f"{path}/model"


def taken(url: str, target: str, pause_s: float, n_pauses: int) -> tuple[int, int]:
    """Ask for a file and take 200 kB after each pause, then the rest; return both lengths."""
    parts = urlsplit(url)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        line.settimeout(30)
        line.connect((parts.hostname, parts.port))
        line.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        response = HTTPResponse(line)
        response.begin()
        n_bytes = 0
        with response, suppress(ConnectionError, IncompleteRead):
            for _ in range(n_pauses):
                time.sleep(pause_s)
                n_bytes += len(response.read(200_000))
            while piece := response.read(1 << 20):
                n_bytes += len(piece)
        return n_bytes, int(response.headers["content-length"])


@pytest.mark.parametrize("hop", HOPS)
def test_a_caller_that_takes_nothing_of_its_answer_is_cut_off(
    hop: str, hasty: Chain, model: str
) -> None:
    n_bytes, length = taken(getattr(hasty, hop).url, model, 3.0, 1)
    assert n_bytes < length


def test_a_caller_that_takes_its_answer_slowly_gets_it(hasty: Chain, model: str) -> None:
    n_bytes, length = taken(hasty.receiver.url, model, 0.05, 40)
    assert n_bytes == length


@contextmanager
def slow_bodies(services: Chain, path: str, part: bytes, n: int) -> Iterator[None]:
    """Hold connections to a link on which all but the last byte of a part has come."""
    with ExitStack() as stack:
        for _ in range(n):
            line = stack.enter_context(line_to(services.link.url))
            line.sendall(head_of(f"{path}/parts/0", part) + part[:-1])
        yield


def test_slow_bodies_take_no_flight_from_others(tmp_path: Path, model_path: Path) -> None:
    sent = encoded(model_path)
    flights = {"WEIGHTCAST_LINK_MAX_FLIGHTS": "1", "WEIGHTCAST_SERVER_MAX_FLIGHTS": "1"}
    with (
        services_in(tmp_path, **flights) as services,
        Caller(base_url=services.link.url, timeout=10) as client,
    ):
        path = client.open(sent.header)
        with slow_bodies(services, path, sent.parts[0], 16):
            assert client.put_part(path, 0, sent.parts[0]).status_code == 204


def test_slow_bodies_take_up_no_memory(tmp_path: Path, model_path: Path) -> None:
    sent = encoded(model_path)
    with (
        services_in(tmp_path) as services,
        Caller(base_url=services.link.url, timeout=10) as client,
    ):
        path = client.open(sent.header)
        for _ in range(8):
            assert client.put_part(path, 0, sent.parts[0]).status_code == 204
        before = services.link.memory_peak()
        with slow_bodies(services, path, sent.parts[0], 64):
            assert client.put_part(path, 1, sent.parts[1]).status_code == 204
        grown = services.link.memory_peak() - before
        assert grown < 64 << 20  # A quarter of what the bodies hold.


@contextmanager
def slow_callers(services: Chain, path: str) -> Iterator[None]:
    """Hold slow connections to a link: a third each sends nothing, a piece of a head, of a body."""
    part = bytes(4 << 20)
    beginnings = [b"", GET, head_of(f"{path}/parts/0", part) + part[: 1 << 16]]
    with ExitStack() as stack:
        for n in range(N_SLOW):
            line = stack.enter_context(line_to(services.link.url))
            line.sendall(beginnings[n % 3])
        yield


def test_two_hundred_slow_sockets_hardly_slow_a_normal_send(
    tmp_path: Path, model_path: Path, times: Times, figure: Figure
) -> None:
    sent = encoded(model_path, channel="noiseless")
    n = times(20, 60)
    with (
        services_in(tmp_path) as services,
        services.link.caller() as client,
    ):
        slow = client.open(sent.header)

        def p95() -> float:
            took = []
            for _ in range(n):
                began = time.monotonic()
                path = client.open(sent.header)
                assert client.put_part(path, 0, sent.parts[0]).status_code == 204
                took.append(time.monotonic() - began)
                client.delete(path)
            return sorted(took)[round(0.95 * (n - 1))]

        ratios = []
        p95()
        for _ in range(3):
            alone = p95()
            with slow_callers(services, slow):
                ratios.append(p95() / alone)
    # Others use this machine too: the round that they disturbed least tells.
    best = min(ratios)
    figure(26, f"p95 of a send with {N_SLOW} slow sockets: {best:.2f} times that without")
    assert best <= 1.5, ratios


FEW = {"WEIGHTCAST_LINK_MAX_CONNECTIONS": "20", "WEIGHTCAST_SERVER_MAX_CONNECTIONS": "20"}


def test_when_all_connections_are_busy_others_get_a_503_and_health_answers(
    tmp_path: Path, model_path: Path, figure: Figure
) -> None:
    sent = encoded(model_path)
    with services_in(tmp_path, **FEW) as services:
        with services.link.caller() as client:
            path = client.open(sent.header)
        with slow_bodies(services, path, sent.parts[0], 20):
            took = []
            for _ in range(10):
                list_ = b"GET /transmissions HTTP/1.1\r\nHost: x\r\n\r\n"
                answer = shout(services.link.url, list_)
                assert is_problem(answer, 503)
                assert int(answer.fields["retry-after"]) > 0
                answer = shout(services.link.url, head_of(f"{path}/parts/0", sent.parts[0]))
                assert is_problem(answer, 503)
                answer = shout(services.link.url, GET + b"\r\n")
                assert answer.status == 200
                took.append(answer.seconds)
            figure(27, f"health within {1000 * max(took):.0f} ms when all connections are busy")
            assert max(took) < 1
        until(lambda: httpx.get(f"{services.link.url}/transmissions").status_code == 200, 10)


@pytest.mark.parametrize("begin", [b"", GET, GET + b"\r\n"], ids=["silent", "slow", "idle"])
def test_a_flood_of_idle_connections_keeps_nobody_out(
    begin: bytes, tmp_path: Path, figure: Figure
) -> None:
    with services_in(tmp_path, **FEW) as services, ExitStack() as stack:
        for url in (services.link.url, services.receiver.url):
            for _ in range(N_SLOW):
                line = stack.enter_context(line_to(url))
                line.sendall(begin)
                if begin.endswith(b"\r\n\r\n"):
                    assert answer_on(line).status == 200
        began = time.monotonic()
        assert httpx.get(f"{services.link.url}/transmissions").status_code == 200
        took = time.monotonic() - began
        figure(27, f"a call within {1000 * took:.0f} ms in a flood of {N_SLOW} idle connections")
        assert took < 1
        for hop in (services.link, services.receiver):
            assert hop.open_files() < 20 + 32 + 50
