"""What several tests of the services need: small models, services joined in one process, calls."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import settings
from pydantic import SecretStr
from safetensors.numpy import save_file

from weightcast import plugins
from weightcast.models.weights import open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import KINDS, Setup
from weightcast.wire.digest import digest_of
from weightcast.wire.header import Header
from weightcast.wire.side import SideWriter
from weightcast.wire.symbols import cut_into_parts
from weightcast.wire.transmission import announce
from weightcast_client.sending.transport import Transport
from weightcast_link import app as link
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server import app as receiver
from weightcast_server.settings import Settings as ReceiverSettings

# The first example may compile a kernel; what hangs is ended by pytest's own time-out.
settings.register_profile("weightcast", deadline=None)
settings.load_profile("weightcast")

N_WEIGHTS = 2_300_000
"""Of the usual test model: three parts, the last one short."""


@pytest.fixture(scope="module")
def plugins_forgotten() -> Iterator[None]:
    """Schemes, decoders, channels and tasks that a module adds go with it."""
    before = [dict(kind._things) for kind in KINDS]
    yield
    for kind, things in zip(KINDS, before, strict=True):
        kind._things = things
    plugins._loaded.clear()


class InProcess(httpx.BaseTransport):
    """A way for blocking clients to ASGI apps on an event loop in a thread of this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, app: FastAPI) -> None:
        self._loop = loop
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        passed = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.read()
        )

        async def call() -> httpx.Response:
            answer = await self._asgi.handle_async_request(passed)
            content = await answer.aread()
            return httpx.Response(answer.status_code, headers=answer.headers, content=content)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


class Services(NamedTuple):
    """A link and its receiver: clients to call them, and the road to the link."""

    link: httpx.Client
    receiver: httpx.Client
    road: httpx.BaseTransport
    data: Path


@contextmanager
def run_apps(start: Callable[[AsyncExitStack], Any]) -> Iterator[list[InProcess]]:
    """Run apps on an event loop in a thread; yield the ways to what `start` returns."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    apps = AsyncExitStack()

    def run(coroutine: Any) -> Any:
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
    """Run a receiver and a link to it in one process, with everything but sockets."""

    async def start(apps: AsyncExitStack) -> tuple[FastAPI, FastAPI]:
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
        clients = [
            stack.enter_context(httpx.Client(transport=road, base_url="http://test", headers=shown))
            for road in roads
        ]
        yield Services(clients[0], clients[1], roads[0], data)


@contextmanager
def run_app(app: FastAPI) -> Iterator[httpx.Client]:
    """Run an app in this process and yield a client of it."""

    async def start(apps: AsyncExitStack) -> tuple[FastAPI]:
        await apps.enter_async_context(app.router.lifespan_context(app))
        return (app,)

    with run_apps(start) as (road,), httpx.Client(transport=road, base_url="http://test") as client:
        yield client


@pytest.fixture(scope="session")
def in_process() -> Any:
    """`run_app`."""
    return run_app


@pytest.fixture(scope="session")
def joined() -> Any:
    """`join`, to have services with settings of one's own."""
    return join


@pytest.fixture(scope="module")
def services_database() -> str:
    """The setting `database` of the receiver of `services`: SQLite, where nothing else is said."""
    return ""


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, services_database: str
) -> Iterator[Services]:
    """A link and a receiver for all tests of a module."""
    with join(tmp_path_factory.mktemp("receiver"), database=services_database) as joined:
        yield joined


def write_model(path: Path, n_weights: int = N_WEIGHTS, seed: int = 1) -> Path:
    """Write a model of weights in two tensors, a carried bias and a carried counter."""
    values = np.random.Generator(np.random.Philox(seed)).standard_normal(n_weights, np.float32)
    split = n_weights // 3
    tensors = {
        "layer.weight": values[:split].reshape(1, -1),
        "head.weight": values[split:].reshape(-1, 1),
        "layer.bias": np.linspace(-1, 1, 17, dtype=np.float32),
        "count": np.array(3, np.int64),
    }
    save_file({name: tensor for name, tensor in tensors.items() if tensor.size}, path)
    return path


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A call that writes a model of so many weights."""
    folder = tmp_path_factory.mktemp("models")
    return lambda n_weights: write_model(folder / f"{n_weights}.safetensors", n_weights)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three parts."""
    return write_model(tmp_path_factory.mktemp("models") / "model.safetensors")


@pytest.fixture(scope="session")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one short part."""
    return write_model(tmp_path_factory.mktemp("models") / "small.safetensors", 1000)


class Encoded(NamedTuple):
    """A transmission as bytes."""

    header: Header
    parts: list[bytes]
    side: bytes


def encode_model(
    path: Path,
    scheme: str = "unprotected",
    channel: str = "awgn",
    seed: int = 5,
    **channel_params: float,
) -> Encoded:
    """Do what a sender does, without sending."""
    params = channel_params or ({"std": 0.3} if channel == "awgn" else {})
    setup = Setup.from_spec({"scheme": scheme, "channel": {"name": channel} | params, "seed": seed})
    with open_model(path) as model, SideWriter(setup.scheme.side_names) as side:
        plan = plan_for(model, setup, model.layout.weights)
        header = announce(path.name, model.layout, setup, plan)
        symbols = []
        for _, _, sent in encode(model, setup.scheme, plan):
            side.add(sent.side)
            symbols.append(sent.symbols)
        body = path.with_suffix(f".{os.getpid()}.side")
        with body.open("wb") as file:
            side.write(file, model, plan)
    parts = [part.tobytes() for part in cut_into_parts(symbols)]
    encoded = Encoded(header, parts, body.read_bytes())
    body.unlink()
    return encoded


@pytest.fixture(scope="session")
def encoded() -> Callable[..., Encoded]:
    """`encode_model`."""
    return encode_model


@pytest.fixture(scope="session")
def put() -> Callable[..., httpx.Response]:
    """A call that sends a body with its digest: (client, path, body, method, **headers)."""

    def call(
        client: httpx.Client, path: str, body: bytes, method: str = "PUT", **headers: str
    ) -> httpx.Response:
        fields = {"content-digest": digest_of(body)} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return client.request(method, path, content=body, headers=fields)

    return call


@pytest.fixture(scope="session")
def opened(put: Callable[..., httpx.Response]) -> Callable[..., str]:
    """A call that opens a transmission and returns its path: (client, header)."""

    def call(client: httpx.Client, header: Header) -> str:
        answer = put(client, "/transmissions", header.to_bytes(), "POST")
        assert answer.status_code == 201, answer.text
        return answer.headers["location"]

    return call


@pytest.fixture(scope="session")
def finished() -> Callable[..., dict[str, Any]]:
    """A call that waits for the end of a transmission and returns it: (client, path)."""

    def call(client: httpx.Client, path: str) -> dict[str, Any]:
        client.get(f"{path}/events", timeout=120)
        found: dict[str, Any] = client.get(path).json()
        return found

    return call


@pytest.fixture(scope="session")
def is_problem() -> Callable[..., bool]:
    """Whether an answer is a problem of a status and kind that says nothing about our insides."""

    def check(answer: httpx.Response, status: int, kind: str) -> bool:
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["type"] == f"urn:weightcast:{kind}"
        assert answer.json()["status"] == status
        assert answer.json()["detail"] and "\n" not in answer.json()["detail"]
        assert "Traceback" not in answer.text and ".py" not in answer.text
        return True

    return check


@pytest.fixture
def transport(services: Services) -> Iterator[Transport]:
    """A sender's way to the joined services."""
    to_link = make_transport(services.road)
    yield to_link
    to_link.close()


def make_transport(
    road: httpx.BaseTransport | None, url: str = "http://test", token: SecretStr | None = None
) -> Transport:
    """Return a sender's transport that does not wait long between tries."""
    return Transport(
        url,
        connect_timeout_s=5,
        answer_timeout_s=60,
        tries=6,
        token=token,
        http=road,
        first_wait_s=0.001,
    )


@pytest.fixture(scope="session")
def transport_over() -> Callable[..., Transport]:
    """`make_transport`."""
    return make_transport


@pytest.fixture(scope="session")
def children() -> Callable[..., list[int]]:
    """A call that lists the living descendants of a process with a word in their command."""

    def of(pid: int, word: str = "weightcast") -> list[int]:
        parents: dict[int, int] = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, state, parent = _stat(path)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state != "Z":
                parents[name] = parent
        found, grown = {pid}, True
        while grown:
            more = {child for child, parent in parents.items() if parent in found} - found
            grown = bool(more)
            found |= more
        return [child for child in found - {pid} if word in command_of(child)]

    return of


def _stat(path: Path) -> tuple[int, str, int]:
    text = path.read_text()
    state, parent = text.rpartition(")")[2].split()[:2]
    return int(path.parent.name), state, int(parent)


def command_of(pid: int) -> str:
    """Return the command line of a process; nothing if it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(scope="session")
def running() -> Any:
    """`run_service`."""
    return run_service


@contextmanager
def run_service(
    data: Path | None, receiver: str = "", *, port: int = 0, **more: Any
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a receiver, or a link to one, in a process of its own; yield (process, URL)."""
    link_words = ["weightcast_link.cli", f"--receiver={receiver}"]
    receiver_words = ["weightcast_server.cli", "run", f"--data={data}", "--no-evaluate"]
    words = link_words if data is None else receiver_words
    process = subprocess.Popen(
        [sys.executable, "-m", *words, f"--port={port}"], stderr=subprocess.PIPE, text=True, **more
    )
    assert process.stderr is not None
    logs = process.stderr
    url = next(line for line in logs if "listening on " in line).rpartition(" ")[2].strip(' "}\n')
    # A service whose logs nobody reads would stand still when the pipe is full.
    reader = threading.Thread(target=logs.read)
    reader.start()
    try:
        yield process, url
    finally:
        process.terminate()
        process.wait(timeout=30)
        reader.join()
        logs.close()
        if process.stdout is not None:
            process.stdout.close()
