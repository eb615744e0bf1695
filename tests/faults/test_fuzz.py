"""Thousands of calls that somebody might make: each is answered in words, and nothing grows."""

import os
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import schemathesis
from driver.models import encoded
from driver.processes import memory_of, until
from faults.figures import Figure, Times
from faults.hops import Chain
from faults.raw import Answer, answer_on, line_to, services_in
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from weightcast.wire.digest import digest_of
from weightcast_web.running.sockets import bind, url_of

pytestmark = pytest.mark.slow

HOPS = ["link", "receiver"]
OURS = (b"Traceback", b'.py"', b".py:", b"site-packages", b"/weightcast_", b"sqlalchemy")
HASTY = {
    f"WEIGHTCAST_{service}_{name}": value
    for service in ("LINK", "SERVER")
    for name, value in (("HEAD_TIMEOUT_S", "1"), ("BODY_GRACE_S", "1"))
} | {"WEIGHTCAST_SERVER_MAX_OPEN": "100000"}
MAX_GROWTH = 16 << 20
PATIENCE_S = 0.3


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A link and its receiver, for all tests of this module."""
    with services_in(tmp_path_factory.mktemp("fuzz"), **HASTY) as hops:
        yield hops


class Sender(NamedTuple):
    """A sender service of its own process."""

    url: str
    process: subprocess.Popen[bytes]
    log_path: Path

    def log(self) -> str:
        """Return what it has written to standard error."""
        return self.log_path.read_text()


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """A sender service whose link is not there, so that sends wait in its queue."""
    folder = tmp_path_factory.mktemp("sender")
    with bind("127.0.0.1", 0) as nobody:
        link = url_of(nobody)
    variables = {"WEIGHTCAST_CLIENT_DATA": str(folder), "WEIGHTCAST_CLIENT_MAX_QUEUED": "100000"}
    words = ["-m", "weightcast_client.cli", "serve", "--port=0", f"--link={link}"]
    log = folder / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *words], env=os.environ | variables, stderr=file
        )
    try:
        until(lambda: "listening on " in log.read_text())
        url = re.search('http://127[^ "\n]*', log.read_text().partition("listening on ")[2])
        assert url
        yield Sender(url[0], process, log)
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def known(services: Chain, small_path: Path) -> list[str]:
    """Ids of a transmission that is open and of one that is done."""
    sent = encoded(small_path, channel="noiseless")
    with services.receiver.caller() as client:
        paths = [client.open(sent.header) for _ in range(2)]
        client.put_part(paths[1], 0, sent.parts[0])
        client.put_side(paths[1], sent.side)
        client.complete(paths[1])
        assert client.end_of(paths[1])["state"] == "done"
    return [path.rpartition("/")[2] for path in paths]


def is_in_words(status: int, fields: Mapping[str, str], body: bytes, data: Path) -> bool:
    """Whether an answer is a success, or a refusal that says nothing about our insides."""
    assert status < 500, body
    assert not [word for word in (*OURS, str(data).encode()) if word in body], body
    if status >= 400:
        assert fields["content-type"] == "application/problem+json", body
    return True


def operations(url: str) -> Iterator[Any]:
    """Yield what the OpenAPI of a receiver says can be done."""
    found = httpx.get(f"{url}/openapi.json").json()
    schema = schemathesis.openapi.from_dict(found)
    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok)
        yield operation.ok()


@st.composite
def cases(draw: Any, operation: Any, known: list[str]) -> Any:
    """Draw a call: as the schema says or not, for a transmission that exists or not."""
    mode = draw(st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE]))
    case = draw(operation.as_strategy(generation_mode=mode))
    if "id_" in (case.path_parameters or {}) and draw(st.booleans()):
        # Events of what is open go on for ever, and what is deleted is known no more.
        ids = known[1:] if operation.path.endswith("/events") else known
        if ids and operation.method != "delete":
            case.path_parameters["id_"] = draw(st.sampled_from(ids))
    if draw(st.booleans()):
        case.headers = dict(case.headers or {}) | {
            "content-digest": draw(st.text("ab=:", max_size=60))
        }
    return case


def call(url: str, case: Any, client: httpx.Client) -> httpx.Response:
    """Make a call with a digest that is right unless the case has another."""
    prepared = case.as_transport_kwargs(base_url=url)
    body = prepared.get("data") or b""
    if prepared.get("json") is not None:
        body = httpx.Request("POST", url, json=prepared["json"]).content
    body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    body = body if isinstance(body, bytes) else repr(body).encode()
    fields = {"content-digest": digest_of(body)}
    for name, value in dict(prepared.get("headers") or {}).items():
        if name.lower() not in ("content-length", "host", "transfer-encoding"):
            fields[name.lower()] = value
    return client.request(
        prepared["method"],
        prepared["url"],
        params=prepared.get("params"),
        content=body,
        headers=[(k.encode(), str(v).encode("utf-8", "replace")) for k, v in fields.items()],
    )


@pytest.mark.parametrize("hop", [*HOPS, "sender"])
def test_no_call_that_the_schema_suggests_is_a_5xx(
    hop: str,
    services: Chain,
    sender: Sender,
    known: list[str],
    times: Times,
    figure: Figure,
) -> None:
    own = sender if hop == "sender" else getattr(services, hop)
    ids = [] if hop == "sender" else known
    statuses: Counter[int] = Counter()
    with httpx.Client(timeout=30) as client:
        # The link has the API of its receiver.
        found = list(operations(sender.url if hop == "sender" else services.receiver.url))
        memory: list[int] = []
        for operation in found * 2:
            # The first half warms up what grows once.
            n = times(15, 125)

            @seed(28)
            @settings(
                max_examples=n,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=cases(operation, ids))
            def one(case: Any) -> None:
                try:
                    answer = call(own.url, case, client)
                except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeError, ValueError):
                    return  # No HTTP library sends this; the raw bytes below do.
                statuses[answer.status_code] += 1
                assert is_in_words(
                    answer.status_code, answer.headers, answer.content, services.data
                )

            one()
            memory.append(memory_of(own.process.pid))
        assert client.get(f"{own.url}/health").status_code == 200
    assert "Traceback" not in own.log()
    grown = memory[-1] - memory[len(found) - 1]
    figure(28, f"{hop}: {statuses.total()} schema cases, no 5xx, {grown >> 10:,} KiB grown")
    assert grown < MAX_GROWTH
    assert {200, 404, 405} & statuses.keys()


def beginnings(known: list[str], text: bytes) -> list[bytes]:
    """Return requests that are fine, to be spoiled."""
    post = f"POST /transmissions HTTP/1.1\r\nHost: x\r\nContent-Digest: {digest_of(text)}\r\n"
    put = f"PUT /transmissions/{known[0]}/parts/0 HTTP/1.1\r\nHost: x\r\n"
    part = bytes(4000)
    length = f"Content-Length: {len(part)}\r\nContent-Digest: {digest_of(part)}\r\n\r\n"
    return [
        f"GET /transmissions/{known[1]} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".encode(),
        f"GET /transmissions/{known[1]}/model HTTP/1.0\r\n\r\n".encode(),
        f"{post}Content-Length: {len(text)}\r\n\r\n".encode() + text,
        f"{post}Transfer-Encoding: chunked\r\n\r\n{len(text):x}\r\n".encode()
        + text
        + b"\r\n0\r\n\r\n",
        f"{put}{length}".encode() + part,
        b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
    ]


def spoil(request: bytes, dice: random.Random) -> bytes:
    """Return a request with a few things wrong with it, mostly in its head."""
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        at = dice.randrange(min(len(request), 200 if dice.random() < 0.8 else 1 << 20) + 1)
        to = at + dice.choice([0, 0, 1, 1, 2, 10, 100])
        new = dice.choice(
            [
                b"",
                dice.randbytes(dice.choice([1, 1, 2, 30])),
                bytes(dice.choices(b"aZ09/=:,;%&?.-_ \xe9\xff", k=dice.choice([1, 1, 3]))),
                bytes(dice.choices(b"aZ09/=:,;%&?.-_ \xe9\xff", k=dice.choice([1, 1, 3]))),
                dice.choice(
                    [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"%00", b"/../", b"?"]
                ),
                dice.choice([b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]),
                dice.choice(
                    [b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"Range: bytes=-1\r\n"]
                ),
                request[: dice.randrange(len(request) + 1)],
                b"9" * dice.choice([10, 30, 400]),
            ]
        )
        request = request[:at] + new + request[to:]
    return request


def dare(url: str, request: bytes) -> Answer:
    """Send bytes and return the answer; none in time is none."""
    with line_to(url, PATIENCE_S) as line:
        with suppress(ConnectionError):
            line.sendall(request)
        try:
            return answer_on(line)
        except TimeoutError:
            return Answer(0, {}, b"", PATIENCE_S)


@pytest.mark.parametrize("hop", HOPS)
def test_no_bytes_on_a_socket_are_answered_with_a_5xx(
    hop: str, services: Chain, known: list[str], small_path: Path, times: Times, figure: Figure
) -> None:
    own = getattr(services, hop)
    dice = random.Random(f"bytes for the {hop}")
    good = beginnings(known, encoded(small_path, channel="noiseless").header.to_bytes())
    n = times(300, 2000)
    statuses: Counter[int] = Counter()

    def one(request: bytes) -> None:
        answer = dare(own.url, request)
        statuses[answer.status] += 1
        if answer.status:
            fields = {"content-type": "application/problem+json"} | answer.fields
            assert is_in_words(answer.status, fields, answer.body, services.data), request

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, [spoil(dice.choice(good), dice) for _ in range(n // 2)]))
        memory = memory_of(own.process.pid)
        list(threads.map(one, [spoil(dice.choice(good), dice) for _ in range(n // 2)]))
    grown = memory_of(own.process.pid) - memory
    figure(24, f"{hop}: {n} spoiled requests, no 5xx, {grown >> 10:,} KiB grown in the second half")
    assert httpx.get(f"{own.url}/health").status_code == 200
    assert "Traceback" not in own.log()
    assert grown < MAX_GROWTH
    assert statuses[400] > n / 10 and statuses[200] > n / 100
