"""Plug-ins of the services: where they come from, and what production thinks of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.errors import ParameterError, UnknownNameError
from weightcast.registry import Kind
from weightcast.setup import KINDS
from weightcast_client.settings import Settings as ClientSettings
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server.settings import Settings as ServerSettings

FOLDER = Path(__file__).parents[2] / "docs/plugins"
SCHEME, CHANNEL = FOLDER / "scheme.py", FOLDER / "channel.py"
TOKEN = SecretStr("a secret of more than thirty-two letters")
ALL = (ClientSettings, LinkSettings, ServerSettings)


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test adds, and whether installed plug-ins are taken, goes with it."""
    monkeypatch.setattr(Kind, "takes_installed", True)
    monkeypatch.setattr("weightcast.plugins._loaded", {})
    for kind in KINDS:
        monkeypatch.setattr(kind, "_things", dict(kind._things))
        kind.__dict__.pop("_installed", None)
    yield
    for kind in KINDS:
        kind.__dict__.pop("_installed", None)


@pytest.mark.parametrize("settings", ALL, ids=lambda cls: cls.__module__)
def test_paths_in_the_environment_are_separated_by_commas(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = settings.model_config["env_prefix"]
    monkeypatch.setenv(f"{prefix}PLUGINS", f"{SCHEME},{CHANNEL}")
    assert settings().plugins == (SCHEME, CHANNEL)
    monkeypatch.setenv(f"{prefix}PLUGINS", "")
    assert settings().plugins == ()


def test_a_worker_of_the_sender_is_told_the_plug_ins() -> None:
    settings = ClientSettings(plugins=(SCHEME, CHANNEL))
    assert settings.environment()["WEIGHTCAST_CLIENT_PLUGINS"] == f"{SCHEME},{CHANNEL}"


@pytest.mark.parametrize("settings", ALL, ids=lambda cls: cls.__module__)
def test_outside_production_plug_ins_are_loaded(settings: Any) -> None:
    settings(plugins=(SCHEME, CHANNEL)).load_plugins(KINDS)
    assert "tensor-range" in SCHEMES and "bursts" in CHANNELS


def test_a_link_takes_the_channels_of_a_file_and_leaves_the_rest() -> None:
    LinkSettings(plugins=(SCHEME, CHANNEL)).load_plugins((CHANNELS,))
    assert "bursts" in CHANNELS and "tensor-range" not in SCHEMES


@pytest.mark.parametrize("settings", ALL, ids=lambda cls: cls.__module__)
def test_production_takes_plug_ins_only_where_the_settings_say_so(settings: Any) -> None:
    in_production = settings(production=True, token=TOKEN, plugins=(CHANNEL,))
    with pytest.raises(
        ParameterError, match=r"production takes plug-ins only with WEIGHTCAST_[A-Z]*_PLUG"
    ):
        in_production.load_plugins(KINDS)
    assert "bursts" not in CHANNELS
    in_production.model_copy(update={"plugins_in_production": True}).load_plugins(KINDS)
    assert "bursts" in CHANNELS


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with the channel `bursts`."""
    (tmp_path / "somebodys.py").write_text(CHANNEL.read_text())
    info = tmp_path / "somebodys-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[weightcast.channels]\nbursts = somebodys:Bursts\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "somebodys", raising=False)


def test_production_does_not_look_at_installed_packages(package: None) -> None:
    ServerSettings(production=True, token=TOKEN).load_plugins(KINDS)
    with pytest.raises(UnknownNameError, match="no channel 'bursts'; known: awgn, cascade, noise"):
        CHANNELS["bursts"]
    assert "somebodys" not in sys.modules


@pytest.mark.parametrize("production", [False, True])
def test_installed_packages_are_looked_at_elsewhere(package: None, production: bool) -> None:
    settings = ServerSettings(production=production, token=TOKEN, plugins_in_production=True)
    settings.load_plugins(KINDS)
    assert CHANNELS["bursts"].__module__ == "somebodys"


@pytest.mark.parametrize(
    ("words", "prefix"),
    [
        (["weightcast_server.cli", "run"], "WEIGHTCAST_SERVER_"),
        (["weightcast_link.cli"], "WEIGHTCAST_LINK_"),
        (["weightcast_client.cli", "serve", "--link=http://127.0.0.1:1"], "WEIGHTCAST_CLIENT_"),
    ],
    ids=["receiver", "link", "sender"],
)
def test_a_service_in_production_refuses_a_plug_in_at_its_start(
    words: list[str], prefix: str, tmp_path: Path
) -> None:
    def ends(file: Path, **more: str) -> str:
        """Start the service, which must end at once, and return the last line it writes."""
        variables = {"PRODUCTION": "true", "TOKEN": TOKEN.get_secret_value()} | more
        ran = subprocess.run(
            [sys.executable, "-m", *words, "--port=0", f"--plugin={file}"],
            env=os.environ | {f"{prefix}{name}": value for name, value in variables.items()},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 2, ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stderr.splitlines()[-1]

    allowed = f"{prefix}PLUGINS_IN_PRODUCTION=true"
    assert ends(CHANNEL) == f"error: production takes plug-ins only with {allowed}"
    none = tmp_path / "none.py"
    refused = ends(none, PLUGINS_IN_PRODUCTION="true")
    assert refused == f"error: a plug-in is a Python file, got '{none}'"
