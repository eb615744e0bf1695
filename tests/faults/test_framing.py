"""Framing, heads, methods, types: whatever is not plainly a request of ours is refused as such."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from driver.calls import Caller
from driver.models import encoded
from faults.hops import Chain
from faults.raw import answer_on, is_closed, is_problem, line_to, services_in, shout

from weightcast.wire.digest import digest_of

HOPS = ["link", "receiver"]
POST = b"POST /transmissions HTTP/1.1\r\nHost: x\r\nContent-Digest: %s\r\n" % (
    digest_of(b"1234").encode()
)
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

FRAMINGS = {
    "length and chunks": b"Content-Length: 4\r\n" + CHUNKED + b"4\r\n1234\r\n0\r\n\r\n",
    "chunks and length": CHUNKED[:-2] + b"Content-Length: 4\r\n\r\n4\r\n1234\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n12345",
    "a list of lengths": b"Content-Length: 4, 4\r\n\r\n1234",
    "a negative length": b"Content-Length: -4\r\n\r\n1234",
    "a length with a sign": b"Content-Length: +4\r\n\r\n1234",
    "a length with a fraction": b"Content-Length: 4.0\r\n\r\n1234",
    "a length of 10^30": b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n1234",
    "a chunk size that is none": CHUNKED + b"xyz\r\n1234",
    "a negative chunk size": CHUNKED + b"-4\r\n1234\r\n0\r\n\r\n",
    "a chunk size of 17 digits": CHUNKED + b"f" * 17 + b"\r\n1234",
    "a chunk longer than it says": CHUNKED + b"2\r\n1234\r\n0\r\n\r\n",
    "an unknown transfer coding": b"Transfer-Encoding: xchunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n",
    "two transfer codings": b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n",
    "two transfer codings in two fields": b"Transfer-Encoding: gzip\r\n"
    + CHUNKED
    + b"4\r\n1234\r\n0\r\n\r\n",
    "chunks twice": CHUNKED[:-2] + CHUNKED + b"4\r\n1234\r\n0\r\n\r\n",
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n4\r\n1234\r\n0\r\n\r\n",
    "a folded field": b"X: a\r\n b\r\nContent-Length: 4\r\n\r\n1234",
    "NUL in a field": b"X: a\0b\r\nContent-Length: 4\r\n\r\n1234",
    "bare line feeds": b"Content-Length: 4\n\n1234",
    "two hosts": b"Host: y\r\nContent-Length: 4\r\n\r\n1234",
}


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A link and its receiver, for all tests of this module."""
    with services_in(tmp_path_factory.mktemp("framing")) as hops:
        yield hops


def url_of_hop(services: Chain, hop: str) -> str:
    return str(getattr(services, hop).url)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("hop", HOPS)
def test_ambiguous_framing_is_a_400_and_ends_the_connection(
    hop: str, framing: str, services: Chain
) -> None:
    with line_to(url_of_hop(services, hop)) as line:
        line.sendall(POST + FRAMINGS[framing])
        assert is_problem(answer_on(line), 400)
        with suppress(ConnectionError):
            line.sendall(GET + b"\r\n")
        assert is_closed(line)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200,
        b"GET health HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
@pytest.mark.parametrize("hop", HOPS)
def test_what_is_no_request_of_http_1_1_is_a_400(hop: str, head: bytes, services: Chain) -> None:
    assert is_problem(shout(url_of_hop(services, hop), head), 400)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (GET + b"X: " + b"a" * 15_000, 200),
        (GET + b"X: " + b"a" * (1 << 14), 431),
        (GET + b"X: " + b"a" * (1 << 20), 431),
        (GET + b"a" * (1 << 20) + b": x", 431),
        (GET + b"\r\n".join([b"X: y"] * 99), 200),
        (GET + b"\r\n".join([b"X: y"] * 100), 431),
        (GET + b"\r\n".join([b"X: y"] * 10_000), 431),
        (b"GET /health?" + b"a" * 8_000 + b" HTTP/1.1\r\nHost: x", 200),
        (b"GET /health?" + b"a" * (1 << 13) + b" HTTP/1.1\r\nHost: x", 414),
        (b"GET /" + b"a" * (1 << 20) + b" HTTP/1.1\r\nHost: x", 414),
    ],
)
@pytest.mark.parametrize("hop", HOPS)
def test_heads_have_a_longest_length(hop: str, head: bytes, status: int, services: Chain) -> None:
    assert shout(url_of_hop(services, hop), head + b"\r\n\r\n").status == status


@pytest.mark.parametrize(
    ("begin", "status"),
    [
        (b"GET /", 414),
        (GET + b"X: ", 431),
        (GET, 431),
        (POST + CHUNKED + b"4\r\n1234\r\n0\r\nX: ", 431),
    ],
)
@pytest.mark.parametrize("hop", HOPS)
def test_a_head_without_end_is_refused_while_it_comes(
    hop: str, begin: bytes, status: int, services: Chain
) -> None:
    memory = getattr(services, hop).memory_peak()
    with line_to(url_of_hop(services, hop)) as line:
        with suppress(ConnectionError):
            line.sendall(begin)
            for _ in range(512):
                line.sendall(b"a" * (1 << 16))
        assert answer_on(line).status in (status, 0)  # 0: refused so early that it was reset.
    assert getattr(services, hop).memory_peak() - memory < 8 << 20  # Of the 32 MiB that were sent.
    if CHUNKED not in begin:
        assert shout(url_of_hop(services, hop), begin + b"a" * (1 << 15)).status == status


@pytest.mark.parametrize(
    "coding", ["gzip", "br", "zstd", "identity, gzip", "gzip\r\nContent-Encoding: identity"]
)
@pytest.mark.parametrize("target", ["POST /transmissions", f"PUT /transmissions/{'0' * 32}/side"])
@pytest.mark.parametrize("hop", HOPS)
def test_an_encoded_body_is_refused_before_it_is_read(
    hop: str, target: str, coding: str, services: Chain
) -> None:
    head = (
        f"{target} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {coding}\r\nContent-Length: 9\r\n\r\n"
    )
    assert is_problem(shout(url_of_hop(services, hop), head.encode()), 415)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("PATCH", "/transmissions", 405),
        ("TRACE", "/health", 405),
        ("DELETE", "/health", 405),
        ("POST", f"/transmissions/{'0' * 32}/parts/0", 405),
        ("GET", "/nothing", 404),
        ("GET", "/health/", 404),
        ("GET", "/transmissions/", 404),
        ("GET", "/transmissions/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/transmissions/%00", 404),
    ],
)
@pytest.mark.parametrize("hop", HOPS)
def test_a_wrong_method_or_path_is_a_problem(
    hop: str, method: str, path: str, status: int, services: Chain
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    assert is_problem(shout(url_of_hop(services, hop), head), status)


@pytest.mark.parametrize("hop", HOPS)
def test_a_body_of_another_type_is_a_415(hop: str, services: Chain, small_path: Path) -> None:
    sent = encoded(small_path, channel="noiseless")
    with Caller(base_url=url_of_hop(services, hop)) as client:
        path = client.open(sent.header)
        for target, body, method in [
            ("/transmissions", sent.header.to_bytes(), "POST"),
            (f"{path}/parts/0", sent.parts[0], "PUT"),
            (f"{path}/side", sent.side, "PUT"),
        ]:
            answer = client.upload(target, body, method, content_type="text/plain")
            assert answer.status_code == 415
            assert answer.json()["type"] == "urn:weightcast:content-type"
        assert client.there(path) == {"parts": [], "side": False}


def test_fields_behind_a_body_do_not_count_as_fields_of_the_head(
    services: Chain, small_path: Path
) -> None:
    sent = encoded(small_path)
    with services.receiver.caller() as client:
        path = client.open(sent.header)
    part = sent.parts[0]
    head = f"PUT {path}/parts/0 HTTP/1.1\r\nHost: x\r\nContent-Digest: {digest_of(part)}\r\n"
    body = CHUNKED + b"%x\r\n%b\r\n0\r\nweightcast-channel: awgn\r\n\r\n" % (len(part), part)
    answer = shout(services.receiver.url, head.encode() + body)
    assert answer.status == 409  # It has been through no channel.


def test_the_link_frames_anew_and_passes_no_hop_fields_on(
    services: Chain, small_path: Path
) -> None:
    text = encoded(small_path).header.to_bytes()
    digest = digest_of(text)
    chunks = b"".join(b"1;x=y\r\n%c\r\n" % byte for byte in text) + b"0\r\nx: y\r\n\r\n"
    head = (
        f"POST /transmissions HTTP/1.1\r\nHost: x\r\nContent-Digest: {digest}\r\n"
        "Connection: close, content-digest\r\nTE: trailers\r\nKeep-Alive: 9\r\nUpgrade: h2c\r\n"
        "X-Forwarded-For: 1.2.3.4\r\nAuthorization: Bearer abc\r\n"
    )
    answer = shout(services.link.url, head.encode() + CHUNKED + chunks)
    assert answer.status == 201
    assert not {"keep-alive", "te", "upgrade"} & answer.fields.keys()


def test_pipelined_requests_are_answered_in_order_up_to_a_number(services: Chain) -> None:
    with line_to(services.receiver.url) as line:
        line.sendall(GET + b"\r\n" + b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        file = line.makefile("rb")
        assert file.readline() == b"HTTP/1.1 200 OK\r\n"
        rest = b""
        while b"no such resource" not in rest and b"not found" not in rest:
            rest += file.read1()
        file.close()
    with line_to(services.receiver.url) as line:
        line.sendall((GET + b"\r\n") * 1000)
        assert is_closed(line)
    assert httpx.get(f"{services.receiver.url}/health").status_code == 200


@pytest.mark.slow
def test_the_link_asks_the_receiver_of_its_settings_whoever_names_another(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), nowhere)
    with services_in(tmp_path, **proxies) as services:
        for target in ("/transmissions", f"{nowhere}/transmissions"):
            head = (
                f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:9\r\nX-Forwarded-Host: 127.0.0.1:9\r\n"
            )
            answer = shout(services.link.url, f"{head}Forwarded: host=127.0.0.1:9\r\n\r\n".encode())
            assert answer.status == 200
            assert json.loads(answer.body) == {"transmissions": []}


@pytest.mark.slow
def test_a_connection_may_be_idle_for_longer_than_the_server_library_allows(
    services: Chain,
) -> None:
    with line_to(services.link.url, within_s=6) as line:  # It allows 5 s by default.
        line.sendall(GET + b"\r\n")
        assert answer_on(line).status == 200
        assert not is_closed(line)
