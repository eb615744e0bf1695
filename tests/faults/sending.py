"""A sender as `client send` is one, without its command line; and its calls one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import httpx
from driver.calls import Caller
from driver.models import Encoded
from faults.history import Recorder, pipeline_digest

from weightcast.channels.awgn import AWGN
from weightcast.coding import SCHEMES
from weightcast.experiment.figures import DrawResult
from weightcast.models.weights import Model, open_model
from weightcast.setup import Setup
from weightcast_client.calling.transport import Transport
from weightcast_client.sending.planning import PlannedSend, plan_send
from weightcast_client.sending.send import send

SCHEME, STD, SEED, FLIGHTS = "adaptive-redundancy", 0.3, 11, 3
KEY = "the only one"


@dataclass(frozen=True)
class Sender:
    """Sends one model again and again, each time with another draw of the noise."""

    path: Path
    model: Model
    setup: Setup

    @cached_property
    def planned(self) -> PlannedSend:
        """What is sent, with its plan."""
        return plan_send(self.model, self.setup)

    def send(self, transport: Transport, draw: int = 0, key: str | None = None) -> DrawResult:
        """Send the model, or go on with what was sent under a key; return the result."""
        return send(self.planned.with_draw(draw), transport, FLIGHTS, key=key)

    def digest(self, draw: int = 0) -> str:
        """Return the SHA-256 of the weights that must arrive."""
        return pipeline_digest(self.path, replace(self.setup, draw=draw))


@contextmanager
def sender_of(path: Path) -> Iterator[Sender]:
    """Open a model to be sent."""
    setup = Setup(scheme=SCHEMES[SCHEME](), channel=AWGN(std=STD), seed=SEED)
    with open_model(path) as model:
        yield Sender(path, model, setup)


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


def calls_of(sent: Encoded, caller: Caller) -> Iterator[httpx.Response]:
    """Make the calls of a sender one by one."""
    answer = caller.create(sent.header, idempotency_key=KEY)
    yield answer
    path = answer.headers["location"]
    for n, part in enumerate(sent.parts):
        yield caller.put_part(path, n, part)
    yield caller.put_side(path, sent.side)
    yield caller.complete(path)


def put_alone(url: str, path: str, part: bytes) -> int:
    """Send part 0 over a connection of its own; return the status, 0 if there is no answer."""
    with Caller(base_url=url, timeout=60) as caller:
        try:
            return caller.put_part(path, 0, part).status_code
        except httpx.TransportError:
            return 0
