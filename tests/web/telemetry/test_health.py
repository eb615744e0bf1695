"""Health: it tells the truth, and it tells it soon."""

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from driver.calls import is_problem
from driver.services import Driver
from fastapi import FastAPI

from weightcast.errors import LinkError
from weightcast_link.app import create_app
from weightcast_link.settings import Settings
from weightcast_server.readiness import Readiness
from weightcast_server.settings import Settings as ReceiverSettings
from weightcast_server.storing.database import open_store
from weightcast_web.http import problems
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry import health, metrics


def ask(check: Callable[[], Awaitable[None]], *paths: str) -> list[httpx.Response]:
    """Ask an app with this check, once per path."""

    async def call() -> list[httpx.Response]:
        app, asked = FastAPI(), health.Health(check)
        problems.install(app)
        health.install(app, "test", asked)
        metrics.install(app, metrics.new_registry(), asked)
        road = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=road, base_url="http://test") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(call())


def test_what_lives_and_is_ready_says_so() -> None:
    async def check() -> None:
        pass

    ready, live = ask(check, "/health", "/health/live")
    assert (ready.status_code, ready.json()) == (200, {"service": "test", "status": "ready"})
    assert (live.status_code, live.json()) == (200, {"service": "test", "status": "live"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [(Refusal(503, "store-busy", "busy"), "store-busy"), (LinkError("gone"), "not-ready")],
)
def test_what_is_not_ready_says_why_and_lives(error: Exception, kind: str) -> None:
    async def check() -> None:
        raise error

    first, again, live = ask(check, "/health", "/health", "/health/live")
    assert is_problem(first, 503, kind)
    assert is_problem(again, 503, kind)
    assert live.status_code == 200


def test_a_young_check_is_not_repeated_and_an_old_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    async def check() -> None:
        calls.append(1)

    ask(check, *["/health"] * 5)
    assert len(calls) == 1
    monkeypatch.setattr(health, "FRESH_S", -1)
    ask(check, *["/health"] * 5)
    assert len(calls) == 1 + 5


def test_a_check_that_hangs_keeps_nobody_waiting_and_is_not_begun_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "FRESH_S", -1)
    calls = []

    async def check() -> None:
        calls.append(1)
        if len(calls) > 1:
            await asyncio.Event().wait()

    began = time.monotonic()
    answers = ask(check, *["/health", "/metrics", "/health/live"] * 3)
    assert time.monotonic() - began < 9 * health.PATIENCE_S + 1
    assert {answer.status_code for answer in answers} == {200}  # As it was seen last.
    assert len(calls) == 2
    calls.clear()
    monkeypatch.setattr(health, "STALE_S", -0.5)
    monkeypatch.setattr(health, "LONG_PATIENCE_S", 0.2)
    first, again, scrape = ask(check, "/health", "/health", "/metrics")
    assert is_problem(first, 503, "check-hangs")
    assert is_problem(again, 503, "check-hangs")
    assert "weightcast_ready 0.0" in scrape.text


def test_after_a_long_pause_a_slow_check_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FRESH_S", -1)
    monkeypatch.setattr(health, "STALE_S", 0.05)

    async def check() -> None:
        await asyncio.sleep(0.2)

    async def call() -> None:
        asked = health.Health(check)
        await asked.look()
        await asyncio.sleep(0.1)
        await asyncio.gather(asked.look(), asked.look())

    assert health.PATIENCE_S < 0.2
    asyncio.run(call())


def test_a_receiver_without_its_data_folder_is_not_ready(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH_S", -1)
    monkeypatch.setattr(health, "PATIENCE_S", 10)
    with driver.join(tmp_path / "data") as own:
        assert own.receiver.get("/health").json() == {"service": "receiver", "status": "ready"}
        assert own.link.get("/health").json() == {"service": "link", "status": "ready"}
        shutil.rmtree(tmp_path / "data")
        assert is_problem(own.receiver.get("/health"), 503, "disk-refuses")
        assert is_problem(own.link.get("/health"), 503, "receiver-not-ready")
        assert own.receiver.get("/health/live").status_code == 200
        assert own.link.get("/health/live").status_code == 200
        assert "weightcast_ready 0.0" in own.link.get("/metrics").text


def test_a_receiver_whose_disk_is_full_is_not_ready(driver: Driver, tmp_path: Path) -> None:
    with driver.join(tmp_path, spare_bytes=1 << 60) as own:
        assert is_problem(own.receiver.get("/health"), 503, "disk-full")


def test_a_receiver_that_cannot_evaluate_any_more_is_not_ready(tmp_path: Path) -> None:
    store = open_store(ReceiverSettings(data=tmp_path))
    readiness = Readiness(store, tmp_path, 0, lambda: False)
    with pytest.raises(Refusal, match="nothing is decoded or evaluated"):
        asyncio.run(readiness.check())
    readiness.close()
    store.close()


def test_what_was_seen_too_long_ago_is_not_shown_as_if_it_were_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(ReceiverSettings(data=tmp_path))
    readiness = Readiness(store, tmp_path, 0, lambda: True)
    assert list(readiness.collect()) == []
    asyncio.run(readiness.check())
    assert "weightcast_receiver_disk_free_bytes" in {gauge.name for gauge in readiness.collect()}
    monkeypatch.setattr("weightcast_server.readiness.STALE_S", -1)
    assert list(readiness.collect()) == []
    readiness.close()
    store.close()


def test_a_link_whose_receiver_is_silent_answers_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "LONG_PATIENCE_S", 0.1)

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    async def call() -> httpx.Response:
        app = create_app(Settings(), Silent())
        road = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=road, base_url="http://link") as client:
            return await client.get("/health")

    began = time.monotonic()
    assert is_problem(asyncio.run(call()), 503, "check-hangs")
    assert time.monotonic() - began < 3
