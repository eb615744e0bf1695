"""The link: it adds its noise to symbols, refuses what is no symbol, and passes the rest on."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from driver.calls import is_problem
from driver.joined import Services
from driver.models import encoded

from weightcast.channels.awgn import AWGN
from weightcast.noise.gaussian import Noise
from weightcast.wire.digest import digest_of
from weightcast.wire.header import PART_SYMBOLS
from weightcast.wire.symbols import STAMP
from weightcast_link.app import create_app
from weightcast_link.settings import Settings
from weightcast_web.running.sockets import bind, url_of

UNKNOWN = f"/transmissions/{'0' * 32}"


def stored(services: Services, path: str, n: int) -> bytes:
    """Return the bytes of a part as the receiver keeps them."""
    folder = services.data / path.removeprefix("/") / "parts"
    (found,) = folder.glob(f"{n}.*")
    return bytes(found.read_bytes())


def with_symbol(part: bytes, at: int, value: float) -> bytes:
    symbols = np.frombuffer(part, "<f4").copy()
    symbols[at] = value
    return symbols.tobytes()


def test_the_noise_on_a_part_is_that_of_its_symbols_places(
    services: Services, model_path: Path
) -> None:
    sent = encoded(model_path, seed=3, std=0.5)
    path = services.link.open(sent.header)
    for n, part in enumerate(sent.parts):
        assert services.link.put_part(path, n, part).status_code == 204
        symbols = np.frombuffer(part, np.float32)
        noisy = AWGN(std=0.5).transmit(symbols, n * PART_SYMBOLS, Noise(seed=3))
        assert stored(services, path, n) == noisy.tobytes()


def test_a_part_sent_again_meets_the_same_noise(services: Services, small_path: Path) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    for _ in range(3):
        # Other noise would be other bytes, which the receiver refuses with 409.
        assert services.link.put_part(path, 0, sent.parts[0]).status_code == 204
    assert services.receiver.there(path)["parts"] == [0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0000002, -1.5])
def test_what_is_no_symbol_is_refused_with_its_index(
    value: float, services: Services, model_path: Path
) -> None:
    sent = encoded(model_path)
    path = services.link.open(sent.header)
    assert services.link.put_part(path, 0, sent.parts[0]).status_code == 204
    answer = services.link.put_part(path, 1, with_symbol(sent.parts[1], 7, value))
    assert is_problem(answer, 422, "format-error")
    assert answer.json()["detail"].startswith(f"symbol {PART_SYMBOLS + 7} is ")
    assert services.receiver.there(path)["parts"] == [0]


@pytest.mark.parametrize("id_", ["0" * 32, "x", "0" * 4000, "%2e%2e%2fhealth", "%00", "a%3Fb=c"])
def test_an_unknown_transmission_is_not_found(id_: str, services: Services) -> None:
    answer = services.link.upload(f"/transmissions/{id_}/parts/0", b"1234")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    answer = services.link.get(f"/transmissions/{id_}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_part_of_a_transmission_that_was_deleted_meanwhile_is_not_found(
    services: Services, model_path: Path
) -> None:
    sent = encoded(model_path)
    path = services.link.open(sent.header)
    assert services.link.put_part(path, 0, sent.parts[0]).status_code == 204
    assert services.link.delete(path).status_code == 204
    answer = services.link.put_part(path, 1, sent.parts[1])
    assert is_problem(answer, 404, "no-transmission")


def test_a_part_that_has_been_through_a_channel_is_refused(
    services: Services, small_path: Path
) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    answer = services.link.put_part(path, 0, sent.parts[0], **{STAMP: "awgn"})
    assert is_problem(answer, 409, "noised-already")
    assert services.receiver.there(path)["parts"] == []


@pytest.mark.parametrize("n", ["1", "-1", "9" * 30, "9" * 5000, "x", "0.5", "%30x"])
def test_there_is_no_way_around_the_parts_of_a_transmission(
    n: str, services: Services, small_path: Path
) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    answer = services.link.upload(f"{path}/parts/{n}", sent.parts[0])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("detour", ["parts/0/", "parts//0", "x/../parts/0", "./parts/0"])
def test_no_detour_leads_a_part_past_the_noise(
    detour: str, services: Services, small_path: Path
) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    services.link.upload(f"{path}/{detour}", sent.parts[0])
    if services.receiver.there(path)["parts"]:
        assert stored(services, path, 0) != sent.parts[0]


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, -4), slice(0, -1)])
def test_a_part_of_the_wrong_length_is_refused(
    cut: slice, services: Services, small_path: Path
) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    assert is_problem(services.link.put_part(path, 0, sent.parts[0][cut]), 422, "format-error")
    longer = sent.parts[0] + b"1234"
    assert is_problem(services.link.put_part(path, 0, longer), 413, "too-long")


def test_bodies_are_checked_at_the_link_already(services: Services, small_path: Path) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    for target in (f"{path}/parts/0", f"{path}/side"):
        answer = services.link.put(target, content=sent.parts[0])
        assert is_problem(answer, 400, "digest-missing")
        answer = services.link.upload(target, sent.parts[0], content_digest="sha-256=:AAAA:")
        assert is_problem(answer, 400, "digest-missing")
        wrong = "sha-256=:" + "A" * 43 + "=:"
        answer = services.link.upload(target, sent.parts[0], content_digest=wrong)
        assert is_problem(answer, 400, "digest-mismatch")
        answer = services.link.upload(target, sent.parts[0], content_encoding="gzip")
        assert is_problem(answer, 415, "content-encoding")
    there = services.receiver.there(path)
    assert there == {"parts": [], "side": False}


def test_the_receivers_answers_and_refusals_come_through_unchanged(
    services: Services, small_path: Path
) -> None:
    path = services.link.open(encoded(small_path).header)
    direct, passed = services.receiver.get(path), services.link.get(path)
    assert passed.content == direct.content
    assert passed.headers["content-type"] == direct.headers["content-type"]
    answer = services.link.complete(path)
    assert is_problem(answer, 409, "incomplete")
    assert answer.content == services.receiver.complete(path).content


def test_no_proxy_is_to_keep_events_back(services: Services, small_path: Path) -> None:
    path = services.link.deliver_all(encoded(small_path))
    for caller in services.link, services.receiver:
        answer = caller.get(f"{path}/events")
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"


def test_a_method_or_address_that_does_not_exist_is_a_problem_too(services: Services) -> None:
    assert is_problem(services.link.get("/nothing"), 404, "not-found")
    assert is_problem(services.link.request("PATCH", UNKNOWN), 405, "method-not-allowed")


def ask(receiver: str, road: httpx.AsyncBaseTransport | None, path: str) -> httpx.Response:
    """Ask a link whose receiver is not what it should be."""

    async def call() -> httpx.Response:
        app = create_app(Settings(receiver=receiver, connect_timeout_s=2), road)
        asgi = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=asgi, base_url="http://link") as client,
        ):
            answer = await client.get(path)
            await answer.aread()
            return answer

    return asyncio.run(call())


def test_an_absent_receiver_is_a_bad_gateway_within_the_connect_timeout() -> None:
    with bind("127.0.0.1", 0) as listener:
        url = url_of(listener)
    began = time.monotonic()
    answer = ask(url, None, "/transmissions")
    assert is_problem(answer, 502, "link-error")
    assert answer.json()["detail"] == "the receiver cannot be reached"
    assert time.monotonic() - began < 2 + 1


class Answering(httpx.AsyncBaseTransport):
    """A receiver that does one thing only."""

    def __init__(self, answer: Callable[[], httpx.Response]) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._answer()


def test_a_receiver_that_is_silent_is_a_gateway_timeout() -> None:
    def silent() -> httpx.Response:
        raise httpx.ReadTimeout("")

    answer = ask("http://receiver", Answering(silent), "/transmissions")
    assert is_problem(answer, 504, "receiver-silent")


def test_a_connection_that_is_reset_as_soon_as_it_is_open_is_a_bad_gateway() -> None:
    def reset() -> httpx.Response:
        none: Any = None
        return httpx.Response(200, content=none.getpeername())  # As anyio does.

    answer = ask("http://receiver", Answering(reset), "/transmissions")
    assert is_problem(answer, 502, "link-error")


def test_a_receiver_that_breaks_off_its_answer_is_a_bad_gateway() -> None:
    class Broken(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"{"
            raise httpx.ReadError("cut")

    def broken() -> httpx.Response:
        return httpx.Response(200, headers={"content-length": "10"}, stream=Broken())

    answer = ask("http://receiver", Answering(broken), "/transmissions")
    assert is_problem(answer, 502, "link-error")


def test_the_link_follows_no_redirect() -> None:
    def moved() -> httpx.Response:
        return httpx.Response(307, headers={"location": "http://elsewhere", "content-length": "0"})

    assert ask("http://receiver", Answering(moved), "/transmissions").status_code == 307


@pytest.mark.parametrize(
    ("trouble", "status", "kind"), [(500, 502, "link-error"), (503, 503, "store-busy")]
)
def test_trouble_at_the_receiver_is_not_taken_for_an_unknown_transmission(
    trouble: int, status: int, kind: str
) -> None:
    async def call() -> httpx.Response:
        busy = Answering(lambda: httpx.Response(trouble, json={}))
        app = create_app(Settings(receiver="http://receiver"), busy)
        road = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=road, base_url="http://link") as client:
            return await client.put(f"{UNKNOWN}/parts/0", content=b"1234")

    assert is_problem(asyncio.run(call()), status, kind)


@pytest.mark.parametrize(
    "code",
    [
        "import weightcast_link.app",
        "from weightcast_link.cli import app; app(['--help'], standalone_mode=False)",
    ],
)
def test_the_link_starts_without_torch(code: str) -> None:
    code += "; import sys; assert not {'torch', 'torchvision', 'sqlalchemy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_fields_and_queries_beyond_ascii_are_passed_on_and_no_trouble(
    services: Services, small_path: Path
) -> None:
    text = encoded(small_path).header.to_bytes()
    fields = {b"content-digest": digest_of(text).encode(), b"idempotency-key": b"k\xe9\xff"}
    ids = [
        hop.post("/transmissions?\xff=%ff", content=text, headers=fields).json()["id"]
        for hop in (services.link, services.receiver)
    ]
    assert ids[0] == ids[1]
    answer = services.link.get("/transmissions", headers={b"accept": b"\xb2\xff"})
    assert answer.status_code == 200
