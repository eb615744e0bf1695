"""Services on real sockets: broken framing, slow and early-refused bodies, stopping."""

import http.client
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from weightcast.wire.digest import digest_of
from weightcast.wire.symbols import STAMP


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, running: Any) -> Any:
    """URLs of a link and its receiver in processes of their own."""
    with (
        running(tmp_path_factory.mktemp("receiver")) as (_, receiver),
        running(None, receiver=receiver) as (_, link),
    ):
        yield {"link": link, "receiver": receiver}


def shout(url: str, request: bytes) -> bytes:
    """Send raw bytes and return the whole answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


FRAMINGS = [
    b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n",
    b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n12345",
    b"Content-Length: -4\r\n\r\n1234",
    b"Content-Length: 1e3\r\n\r\n1234",
    b"Content-Length: " + b"9" * 30 + b"\r\n\r\n1234",
    b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n1234",
]


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("hop", ["link", "receiver"])
def test_broken_framing_never_succeeds_and_never_shows_our_insides(
    hop: str, framing: bytes, urls: Any
) -> None:
    digest = digest_of(b"1234").encode()
    head = b"POST /transmissions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Digest: " + digest + b"\r\n"
    answer = shout(urls[hop], head + framing)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer
    assert b"Traceback" not in answer
    assert httpx.get(f"{urls[hop]}/health").status_code == 200


@pytest.mark.parametrize("hop", ["link", "receiver"])
def test_a_refusal_that_comes_before_the_body_is_read_reaches_the_sender(
    hop: str, urls: Any, encoded: Any, opened: Any, is_problem: Any, model_path: Path
) -> None:
    sent = encoded(model_path)
    with httpx.Client(base_url=urls[hop], timeout=30) as client:
        path = opened(client, sent.header)
        body = sent.parts[0] * 8
        fields = {"content-digest": digest_of(body), "content-length": str(len(body))}
        fields |= {STAMP: "awgn"} if hop == "receiver" else {}
        pieces = (body[at : at + (1 << 20)] for at in range(0, len(body), 1 << 20))
        answer = client.put(f"{path}/parts/0", content=pieces, headers=fields)
        assert is_problem(answer, 413, "too-long")


def test_a_part_whose_connection_breaks_off_is_not_kept(
    urls: Any, encoded: Any, opened: Any, put: Any, model_path: Path
) -> None:
    sent = encoded(model_path)
    parts = urlsplit(urls["link"])
    with httpx.Client(base_url=urls["link"], timeout=30) as client:
        path = opened(client, sent.header)
        for n_bytes in (0, 1, 100_000, len(sent.parts[0]) - 1):
            connection = http.client.HTTPConnection(parts.netloc, timeout=30)
            connection.putrequest("PUT", f"{path}/parts/0")
            connection.putheader("content-length", str(len(sent.parts[0])))
            connection.putheader("content-digest", digest_of(sent.parts[0]))
            connection.endheaders(sent.parts[0][:n_bytes])
            connection.close()
        assert client.get(f"{path}/parts").json()["parts"] == []
        assert put(client, f"{path}/parts/0", sent.parts[0]).status_code == 204
        assert client.get(f"{path}/parts").json()["parts"] == [0]


def test_a_body_without_a_digest_is_refused_as_such_by_either_hop(
    urls: Any, encoded: Any, opened: Any, is_problem: Any, small_path: Path
) -> None:
    for hop in ("link", "receiver"):
        with httpx.Client(base_url=urls[hop], timeout=30) as client:
            path = opened(client, encoded(small_path).header)
            assert is_problem(client.put(f"{path}/side", content=b"1234"), 400, "digest-missing")


@pytest.mark.parametrize("length", [1000, 65_520, 100_000])
@pytest.mark.parametrize("hop", ["link", "receiver"])
def test_an_endless_address_is_refused(hop: str, length: int, urls: Any) -> None:
    address = b"/transmissions/".ljust(length, b"a")
    request = b"GET " + address + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = shout(urls[hop], request)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer
