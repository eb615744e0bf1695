"""Services joined in this process, with everything but sockets."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
from fastapi import FastAPI
from pydantic import SecretStr

from driver.calls import Caller
from weightcast_link import app as link
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server import app as receiver
from weightcast_server.settings import Settings as ReceiverSettings

T = TypeVar("T")


class InProcess(httpx.BaseTransport):
    """A way for blocking clients to ASGI apps on an event loop in a thread of this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: FastAPI) -> None:
        self._loop = loop
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a call on and return its answer, read to the end."""
        passed = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.read()
        )

        async def call() -> httpx.Response:
            answer = await self._asgi.handle_async_request(passed)
            content = await answer.aread()
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


class Services(NamedTuple):
    """A link and its receiver: callers of them, the road to the link, the receiver's folder."""

    link: Caller
    receiver: Caller
    road: httpx.BaseTransport
    data: Path


@contextmanager
def run_apps(
    start: Callable[[AsyncExitStack], Coroutine[Any, Any, tuple[FastAPI, ...]]],
) -> Iterator[list[InProcess]]:
    """Run apps on an event loop in a thread; yield the ways to what `start` returns."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    apps = AsyncExitStack()

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    with ExitStack() as stack:
        stack.callback(loop.close)
        stack.callback(thread.join)
        stack.callback(loop.call_soon_threadsafe, loop.stop)
        stack.callback(lambda: run(loop.shutdown_default_executor()))
        stack.callback(lambda: run(apps.aclose()))
        yield [InProcess(loop, app) for app in run(start(apps))]


@contextmanager
def join(data: Path, token: SecretStr | None = None, **settings: Any) -> Iterator[Services]:
    """Run a receiver and a link to it; further settings are the receiver's."""

    async def start(apps: AsyncExitStack) -> tuple[FastAPI, ...]:
        receiving = receiver.create_app(
            ReceiverSettings(data=data, evaluate=False, token=token, **settings)
        )
        linking = link.create_app(
            LinkSettings(receiver="http://receiver", token=token), httpx.ASGITransport(receiving)
        )
        for app in (receiving, linking):
            await apps.enter_async_context(app.router.lifespan_context(app))
        return linking, receiving

    shown = {"authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    with ExitStack() as stack:
        roads = stack.enter_context(run_apps(start))
        callers = [
            stack.enter_context(Caller(transport=road, base_url="http://test", headers=shown))
            for road in roads
        ]
        yield Services(callers[0], callers[1], roads[0], data)


@contextmanager
def run_app(app: FastAPI) -> Iterator[InProcess]:
    """Run an app and yield the way to it."""

    async def start(apps: AsyncExitStack) -> tuple[FastAPI, ...]:
        await apps.enter_async_context(app.router.lifespan_context(app))
        return (app,)

    with run_apps(start) as (road,):
        yield road
