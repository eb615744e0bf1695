"""Sender services, in this process or in their own, and the command that sends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from driver.joined import run_app
from driver.processes import SENDERS_WORKER, worker_of
from weightcast_client.service.app import create_app
from weightcast_client.service.bodies import SendBody
from weightcast_client.settings import Settings


class Sender(httpx.Client):
    """A client that knows the calls of a sender service; `path` is where a send is."""

    def queue(
        self,
        *,
        model: str = "small.safetensors",
        std: float | None = 0.3,
        repeat: int = 1,
        **setup: Any,
    ) -> str:
        """Queue a send without evaluation and return its path; further fields are its setup's."""
        body = {"model": model, "std": std, "repeat": repeat, "setup": {"task": None} | setup}
        answer = self.post("/sends", json=body)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    def state(self, path: str) -> dict[str, Any]:
        """Return what there is to know of a send."""
        found: dict[str, Any] = self.get(path).json()
        return found

    def states(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield the states of a send until its end, or until the service ends."""
        try:
            with self.stream("GET", f"{path}/events") as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line[6:])
        except httpx.TransportError:
            return

    def cancel(self, path: str) -> httpx.Response:
        """Cancel a send."""
        return self.post(f"{path}/cancel")

    def end_of(self, path: str) -> dict[str, Any]:
        """Wait for the end of a send and return it."""
        self.get(f"{path}/events")
        return self.state(path)

    def result_of(self, path: str) -> dict[str, Any]:
        """Wait for a send that comes to a good end and return its result."""
        found = self.end_of(path)
        assert found["state"] == "done", found
        result: dict[str, Any] = found["result"]
        return result

    def listed(self) -> list[dict[str, Any]]:
        """Return the sends there are, the newest first."""
        found: list[dict[str, Any]] = self.get("/sends").json()["sends"]
        return found


class RunningSender(Sender):
    """A sender service that is a process of its own."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        super().__init__(base_url=url, timeout=120)
        self.process = process

    def worker(self) -> int:
        """Return its worker, as soon as it is there."""
        return worker_of(self.process.pid, SENDERS_WORKER)


@dataclass(frozen=True)
class Senders:
    """Runs sender services whose data and models are in a folder.

    Args:
        folder: has the data in ``sender`` and the models in ``models``.
    """

    folder: Path

    @property
    def models(self) -> Path:
        """Where the models are."""
        return self.folder / "models"

    @property
    def data(self) -> Path:
        """Where the services keep what they must."""
        return self.folder / "sender"

    @contextmanager
    def join(self, link: str, *, first: SendBody | None = None, **more: Any) -> Iterator[Sender]:
        """Run a service with these settings in this process."""
        settings = Settings(link=link, data=self.data, models=self.models, **more)
        with (
            run_app(create_app(settings, first=first)) as road,
            Sender(transport=road, base_url="http://test") as sender,
        ):
            yield sender

    @contextmanager
    def run(self, link: str, *words: str) -> Iterator[RunningSender]:
        """Run `client serve` with these words in a process of its own."""
        chosen = {"LINK": link, "DATA": str(self.data), "MODELS": str(self.models)}
        process = subprocess.Popen(
            [sys.executable, "-m", "weightcast_client.cli", "serve", "--port=0", *words],
            env=os.environ | {f"WEIGHTCAST_CLIENT_{n}": value for n, value in chosen.items()},
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
            yield stack.enter_context(RunningSender(process, url))


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result without what differs from send to send."""
    differs = ("transmission", "transmissions", "seconds")
    return {key: value for key, value in result.items() if key not in differs}


def client_send(*words: str, within_s: float = 300) -> dict[str, Any]:
    """Run `client send --json`, which says nothing else, and return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "weightcast_client.cli", "send", "--json", *words],
        capture_output=True,
        text=True,
        timeout=within_s,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("\n") == 1
    result: dict[str, Any] = json.loads(ran.stdout)
    return result
