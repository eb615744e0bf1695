"""Bytes on a socket that no HTTP library would send, and what comes back."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from faults.hops import Chain, Hop, receiver_in
from faults.proxy import proxy_to


class Answer(NamedTuple):
    """What a service answered; status 0 is no answer at all."""

    status: int
    fields: dict[str, str]
    body: bytes
    seconds: float


@contextmanager
def services_in(folder: Path, *words: str, **settings: str) -> Iterator[Chain]:
    """Run a link and its receiver with nothing in between; arguments as for `receiver_in`.

    The receiver does not evaluate unless it is told to (``--evaluate``).
    """
    with (
        receiver_in(folder, "--no-evaluate", *words, **settings) as receiver,
        proxy_to(None) as unused,
    ):
        receiver.start()
        command = ["weightcast_link.cli", f"--receiver={receiver.url}"]
        link = Hop(command, unused, folder / "link.log", settings)
        link.start()
        try:
            yield Chain(link, receiver, folder / "data")
        finally:
            link.kill()


def is_problem(answer: Answer, status: int) -> bool:
    """Whether an answer is a problem of this status that says nothing about our insides."""
    assert answer.status == status, answer
    assert answer.fields["content-type"] == "application/problem+json"
    found = json.loads(answer.body)
    assert found["status"] == status
    assert found["type"].startswith("urn:weightcast:")
    assert b"Traceback" not in answer.body and b".py" not in answer.body
    return True


@contextmanager
def line_to(url: str, within_s: float = 10) -> Iterator[socket.socket]:
    """Yield a connection to a service."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), within_s) as line:
        yield line


def answer_on(line: socket.socket) -> Answer:
    """Read one answer."""
    began = time.monotonic()
    response = HTTPResponse(line)
    try:
        response.begin()
        fields = {name.lower(): value for name, value in response.getheaders()}
        body = response.read()
        return Answer(response.status, fields, body, time.monotonic() - began)
    except (HTTPException, ConnectionError):
        return Answer(0, {}, b"", time.monotonic() - began)
    finally:
        response.close()


def shout(url: str, request: bytes, within_s: float = 10) -> Answer:
    """Send bytes on a connection of their own and return the answer to them."""
    with line_to(url, within_s) as line:
        with suppress(ConnectionError):  # Refused in mid-send: the answer may be there.
            line.sendall(request)
        return answer_on(line)


def is_closed(line: socket.socket) -> bool:
    """Whether the service closes a connection, waiting for it as long as the line's time-out."""
    try:
        while line.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True
