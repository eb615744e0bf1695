"""Sender services, in this process or their own, and what they send over."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from weightcast_client.service.app import create_app
from weightcast_client.settings import Settings
from weightcast_web.running.sockets import bind, url_of

UNFINISHED = ("queued", "sending")


class Ends(NamedTuple):
    """The URL of a link and a client of the receiver behind it."""

    link: str
    receiver: httpx.Client

    def transmissions(self) -> dict[str, str]:
        """Return the states of the receiver's transmissions by id."""
        found = self.receiver.get("/transmissions").json()["transmissions"]
        return {each["id"]: each["state"] for each in found}


@contextmanager
def run_ends(data: Path, running: Any) -> Iterator[Ends]:
    with (
        running(data) as (_, receiver),
        running(None, receiver=receiver) as (_, link),
        httpx.Client(base_url=receiver, timeout=60) as client,
    ):
        yield Ends(link, client)


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory, running: Any) -> Iterator[Ends]:
    """A link and a receiver in processes of their own, for all tests of a module."""
    with run_ends(tmp_path_factory.mktemp("receiver"), running) as both:
        yield both


@pytest.fixture
def own_ends(tmp_path: Path, running: Any) -> Iterator[Ends]:
    """The same for one test."""
    with run_ends(tmp_path / "receiver", running) as both:
        yield both


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a link that takes connections and never answers."""
    with bind("127.0.0.1", 0) as listener:
        yield url_of(listener)


@pytest.fixture
def settings(tmp_path: Path, model_path: Path, small_path: Path) -> Callable[..., Settings]:
    """Make settings with a folder that has `model.safetensors` and `small.safetensors`."""
    models = tmp_path / "models"
    models.mkdir()
    for path in (model_path, small_path):
        os.link(path, models / path.name)

    def make(link: str, **more: Any) -> Settings:
        return Settings(link=link, data=tmp_path / "sender", models=models, **more)

    return make


@pytest.fixture(scope="session")
def sender(in_process: Any) -> Callable[..., Any]:
    """A call that runs a sender service in this process and gives a client of it: (settings)."""
    return lambda settings, **more: in_process(create_app(settings, **more))


@contextmanager
def run_sender(settings: Settings, *words: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """Run `client serve` in a process of its own and yield it and a client of it."""
    names = ("link", "data", "models")
    variables = {f"WEIGHTCAST_CLIENT_{n.upper()}": str(getattr(settings, n)) for n in names}
    process = subprocess.Popen(
        [sys.executable, "-m", "weightcast_client.cli", "serve", "--port=0", *words],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    with ExitStack() as stack:
        stack.callback(process.communicate)
        stack.callback(process.kill)
        listening = (line for line in process.stderr if "listening on " in line)
        url = next(listening, "").rpartition(" ")[2].strip(' "\n')
        yield process, stack.enter_context(httpx.Client(base_url=url, timeout=120))


@pytest.fixture(scope="session")
def serving() -> Any:
    """`run_sender`."""
    return run_sender


@pytest.fixture(scope="session")
def queue() -> Callable[..., str]:
    """A call that queues a send without evaluation and returns its path.

    Arguments: client, fields of the send; others are fields of its setup.
    """

    def call(
        client: httpx.Client,
        *,
        model: str = "small.safetensors",
        std: float | None = 0.3,
        repeat: int = 1,
        **setup: Any,
    ) -> str:
        body = {"model": model, "std": std, "repeat": repeat, "setup": {"task": None} | setup}
        answer = client.post("/sends", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    return call


@pytest.fixture(scope="session")
def result_of() -> Callable[..., dict[str, Any]]:
    """A call that waits for a send and returns its result: (client, path)."""

    def call(client: httpx.Client, path: str) -> dict[str, Any]:
        client.get(f"{path}/events")
        found = client.get(path).json()
        assert found["state"] == "done", found
        result: dict[str, Any] = found["result"]
        return result

    return call


@pytest.fixture(scope="session")
def comparable() -> Callable[..., dict[str, Any]]:
    """A call that drops from a result what differs from send to send."""

    def call(result: dict[str, Any]) -> dict[str, Any]:
        differs = ("transmission", "transmissions", "seconds")
        return {key: value for key, value in result.items() if key not in differs}

    return call


@pytest.fixture(scope="session")
def client_send() -> Callable[..., dict[str, Any]]:
    """A call that runs `client send --json` and returns what it prints: (*words)."""

    def call(*words: str) -> dict[str, Any]:
        ran = subprocess.run(
            [sys.executable, "-m", "weightcast_client.cli", "send", "--json", *words],
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert ran.returncode == 0, ran.stderr
        result: dict[str, Any] = json.loads(ran.stdout)
        return result

    return call
