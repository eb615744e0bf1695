"""The way of the symbols over real sockets on loopback, between real processes.

Timed is from opening the transmission until its last part is acknowledged, which the receiver does
when the part is on its disk. The direct path has a noiseless channel and no link. The raw copy
sends the same bytes over one TCP connection to a process that only reads them.
"""

import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import numpy as np
from measure import Row, interleaved

from weightcast.channels.awgn import AWGN
from weightcast.channels.noiseless import Noiseless
from weightcast.models import zoo
from weightcast.models.weights import chosen_by, open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import Setup
from weightcast.wire.header import Header
from weightcast.wire.symbols import cut_into_parts
from weightcast.wire.transmission import announce
from weightcast_client.calling.transport import Transport, transport_to
from weightcast_client.sending.testbed import own_services
from weightcast_client.settings import Settings

REPETITIONS = 12
_SINK = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
buffer = bytearray(1 << 20)
while True:
    connection, _ = listener.accept()
    with connection:
        left = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "little")
        while left:
            left -= connection.recv_into(buffer)
        connection.sendall(b"k")
"""


def measure() -> list[Row]:
    """Measure the direct path, the path over the link and a raw copy."""
    settings = Settings().with_token()
    with ExitStack() as stack:
        model = stack.enter_context(open_model(zoo.find(zoo.DEFAULT_MODEL), chosen_by([], [])))
        setups = {
            "link": Setup(channel=AWGN(std=0.1), seed=1),
            "direct": Setup(channel=Noiseless()),
        }
        plan = plan_for(model, setups["link"], model.layout.weights)
        encoded = encode(model, setups["link"].scheme, plan)
        symbols = (sent.symbols for _, _, sent in encoded)
        parts = [part.view(np.uint8).data for part in cut_into_parts(symbols)]

        headers = {
            way: announce("benchmark", model.layout, setup, plan) for way, setup in setups.items()
        }
        urls = stack.enter_context(own_services(settings, None))
        link, receiver = (_reach(url, settings, stack) for url in urls)
        port = stack.enter_context(_sink())
        opened: list[str] = []
        allowed = {"authorization": f"Bearer {settings.token.get_secret_value()}"}

        def forget() -> None:
            while opened:
                url = f"{urls[1]}/transmissions/{opened.pop()}"
                httpx.delete(url, headers=allowed, trust_env=False).raise_for_status()

        tasks: dict[str, Callable[[], object]] = {
            "raw": lambda: _copy(port, parts),
            "direct": _sending(receiver, headers["direct"], parts, settings.flights, opened),
            "link": _sending(link, headers["link"], parts, settings.flights, opened),
        }
        times = interleaved(tasks, REPETITIONS, tidy=forget)
    raw, direct, over_link = (times[name].typical for name in ("raw", "direct", "link"))
    n_bytes = sum(len(part) for part in parts)
    return [
        Row(what="raw TCP copy", value=n_bytes / raw / 1e6, unit="MB/s", seconds=raw),
        Row(
            what="direct path, noiseless",
            value=raw / direct,
            unit="of raw TCP",
            seconds=direct,
            note=f"{n_bytes / direct / 1e6:.0f} MB/s",
        ),
        Row(
            what="path over the link, noise",
            value=raw / over_link,
            unit="of raw TCP",
            seconds=over_link,
            note=f"{n_bytes / over_link / 1e6:.0f} MB/s",
        ),
        Row(
            what="path over the link, noise",
            value=direct / over_link,
            unit="of direct path",
            at_least=0.3,
        ),
    ]


def _reach(url: str, settings: Settings, stack: ExitStack) -> Transport:
    transport = stack.enter_context(transport_to(url, settings))
    transport.probe()
    return transport


def _sending(
    transport: Transport, header: Header, parts: list[Any], flights: int, opened: list[str]
) -> Callable[[], None]:
    """Return a task that sends all parts of a new transmission, as `client send` does.

    The task adds the transmission's id to `opened`.
    """

    def send() -> None:
        id_ = transport.create(header.to_bytes(), secrets.token_hex(16))
        opened.append(id_)
        with ThreadPoolExecutor(flights) as pool:
            list(pool.map(lambda n: transport.put_part(id_, n, parts[n]), range(len(parts))))

    return send


@contextmanager
def _sink() -> Iterator[int]:
    """Start a process that reads what it is sent, and yield its port."""
    process = subprocess.Popen([sys.executable, "-c", _SINK], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def _copy(port: int, parts: list[Any]) -> None:
    """Send all parts over one connection; return when the last byte has been read."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(sum(len(part) for part in parts).to_bytes(8, "little"))
        for part in parts:
            connection.sendall(part)
        connection.recv(1)
