"""A sender as `client send` is one, without its command line; and its calls one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
from faults.history import Recorder, pipeline_digest

from weightcast.channels.awgn import AWGN
from weightcast.coding import SCHEMES
from weightcast.models.weights import Model, open_model
from weightcast.setup import Setup
from weightcast.wire.header import Header
from weightcast_client.screen.console import Screen
from weightcast_client.sending.send import Plans, make_plan, send
from weightcast_client.sending.transport import Transport

SCHEME, STD, SEED, FLIGHTS = "adaptive-redundancy", 0.3, 11, 3
KEY = "the only one"


@dataclass(frozen=True)
class Sender:
    """Sends one model again and again, each time with another draw of the noise."""

    path: Path
    model: Model
    setup: Setup

    @cached_property
    def plans(self) -> Plans:
        """The plan for this model."""
        return make_plan(self.model, self.setup)

    def send(self, transport: Transport, draw: int = 0, key: str | None = None) -> dict[str, Any]:
        """Send the model, or go on with what was sent under a key; return the result."""
        setup = replace(self.setup, draw=draw)
        return send(self.model, setup, self.plans, transport, FLIGHTS, Screen(), key=key)

    def digest(self, draw: int = 0) -> str:
        """Return the SHA-256 of the weights that must arrive."""
        return pipeline_digest(self.path, replace(self.setup, draw=draw))


@contextmanager
def sender_of(path: Path) -> Iterator[Sender]:
    """Open a model to be sent."""
    setup = Setup(scheme=SCHEMES[SCHEME](), channel=AWGN(std=STD), seed=SEED)
    with open_model(path) as model:
        yield Sender(path, model, setup)


def changed_setup(header: Header, **changes: Any) -> Header:
    """Return a header whose setup has other fields."""
    return header.model_copy(update={"setup": header.setup | changes})


@contextmanager
def transport_to(
    url: str, *, tries: int = 6, answer_timeout_s: float = 60, first_wait_s: float = 0.4
) -> Iterator[tuple[Transport, Recorder]]:
    """Yield a sender's transport, by default with the settings of the product, and its history."""
    recorder = Recorder(httpx.HTTPTransport())
    transport = Transport(
        url,
        connect_timeout_s=5,
        answer_timeout_s=answer_timeout_s,
        tries=tries,
        http=recorder,
        first_wait_s=first_wait_s,
    )
    try:
        yield transport, recorder
    finally:
        transport.close()


def calls_of(sent: Any, put: Any, client: httpx.Client) -> Iterator[httpx.Response]:
    """Make the calls of a sender one by one; ``put`` is the fixture of this name."""
    answer = put(client, "/transmissions", sent.header.to_bytes(), "POST", idempotency_key=KEY)
    yield answer
    path = answer.headers["location"]
    for n, part in enumerate(sent.parts):
        yield put(client, f"{path}/parts/{n}", part)
    yield put(client, f"{path}/side", sent.side)
    yield client.post(f"{path}/complete")


def put_alone(put: Any, url: str, path: str, part: bytes) -> int:
    """Send part 0 over a connection of its own; return the status, 0 if there is no answer."""
    with httpx.Client(base_url=url, timeout=60) as client:
        try:
            return int(put(client, f"{path}/parts/0", part).status_code)
        except httpx.TransportError:
            return 0


def delivered(client: httpx.Client, sent: Any, opened: Any, put: Any) -> str:
    """Send all of a transmission but the word that it is complete; return its path."""
    path: str = opened(client, sent.header)
    for n, part in enumerate(sent.parts):
        assert put(client, f"{path}/parts/{n}", part).status_code == 204
    assert put(client, f"{path}/side", sent.side).status_code == 204
    return path
