"""Services on real sockets: broken framing, slow and early-refused bodies, stopping."""

import http.client
import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from driver.calls import Caller, is_problem
from driver.models import encoded
from driver.services import Ends, Running

from weightcast.wire.digest import digest_of
from weightcast.wire.symbols import STAMP


def hop_of(ends: Ends, hop: str) -> Running:
    return ends.link if hop == "link" else ends.receiver


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
    hop: str, framing: bytes, ends: Ends
) -> None:
    digest = digest_of(b"1234").encode()
    head = b"POST /transmissions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Digest: " + digest + b"\r\n"
    answer = shout(hop_of(ends, hop).url, head + framing)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer
    assert b"Traceback" not in answer
    assert hop_of(ends, hop).get("/health").status_code == 200


@pytest.mark.parametrize("hop", ["link", "receiver"])
def test_a_refusal_that_comes_before_the_body_is_read_reaches_the_sender(
    hop: str, ends: Ends, model_path: Path
) -> None:
    sent = encoded(model_path)
    with Caller(base_url=hop_of(ends, hop).url, timeout=30) as client:
        path = client.open(sent.header)
        body = sent.parts[0] * 8
        fields = {"content-digest": digest_of(body), "content-length": str(len(body))}
        fields |= {STAMP: "awgn"} if hop == "receiver" else {}
        pieces = (body[at : at + (1 << 20)] for at in range(0, len(body), 1 << 20))
        answer = client.put(f"{path}/parts/0", content=pieces, headers=fields)
        assert is_problem(answer, 413, "too-long")


def test_a_part_whose_connection_breaks_off_is_not_kept(ends: Ends, model_path: Path) -> None:
    sent = encoded(model_path)
    parts = urlsplit(ends.link.url)
    with Caller(base_url=ends.link.url, timeout=30) as client:
        path = client.open(sent.header)
        for n_bytes in (0, 1, 100_000, len(sent.parts[0]) - 1):
            connection = http.client.HTTPConnection(parts.netloc, timeout=30)
            connection.putrequest("PUT", f"{path}/parts/0")
            connection.putheader("content-length", str(len(sent.parts[0])))
            connection.putheader("content-digest", digest_of(sent.parts[0]))
            connection.endheaders(sent.parts[0][:n_bytes])
            connection.close()
        assert client.there(path)["parts"] == []
        assert client.put_part(path, 0, sent.parts[0]).status_code == 204
        assert client.there(path)["parts"] == [0]


def test_a_body_without_a_digest_is_refused_as_such_by_either_hop(
    ends: Ends, small_path: Path
) -> None:
    for hop in ("link", "receiver"):
        with Caller(base_url=hop_of(ends, hop).url, timeout=30) as client:
            path = client.open(encoded(small_path).header)
            assert is_problem(client.put(f"{path}/side", content=b"1234"), 400, "digest-missing")


@pytest.mark.parametrize("length", [1000, 65_520, 100_000])
@pytest.mark.parametrize("hop", ["link", "receiver"])
def test_an_endless_address_is_refused(hop: str, length: int, ends: Ends) -> None:
    address = b"/transmissions/".ljust(length, b"a")
    request = b"GET " + address + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = shout(hop_of(ends, hop).url, request)
    assert re.match(rb"HTTP/1.1 4\d\d ", answer), answer
