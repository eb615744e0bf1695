"""Commands, run in this process."""

from typing import NamedTuple, Protocol

import typer

from weightcast_client.cli import app as client_app


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Call(Protocol):
    """The fixture `call`: runs a command with these words."""

    def __call__(self, *words: str, app: typer.Typer = client_app) -> Ran:
        """Return how it ended."""
