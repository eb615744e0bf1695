"""The commands, run in this process."""

import sys

import pytest
import typer
from driver.commands import Call, Ran

from weightcast_client.cli import app as client_app
from weightcast_web.running.command import run


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process."""

    def ran(*words: str, app: typer.Typer = client_app) -> Ran:
        monkeypatch.setattr(sys, "argv", ["command", *words])
        with pytest.raises(SystemExit) as left:
            run(app)
        code = left.value.code
        assert isinstance(code, int)
        return Ran(code, *capfd.readouterr())

    return ran
