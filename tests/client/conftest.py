"""The commands, run in this process."""

import sys
from typing import Any, NamedTuple

import pytest

from weightcast_client.cli import app as client_app
from weightcast_web.running.command import run


class Ran(NamedTuple):
    """How a command ended."""

    code: Any
    out: str
    err: str


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process: (words, app)."""

    def ran(*words: str, app: Any = client_app) -> Ran:
        monkeypatch.setattr(sys, "argv", ["command", *words])
        with pytest.raises(SystemExit) as left:
            run(app)
        return Ran(left.value.code, *capfd.readouterr())

    return ran
