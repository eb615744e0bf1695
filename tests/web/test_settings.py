"""Settings: what they refuse; plug-ins: where they come from, what production thinks of them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
AllSettings = ClientSettings | LinkSettings | ServerSettings
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
    settings: type[AllSettings], monkeypatch: pytest.MonkeyPatch
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
def test_outside_production_plug_ins_are_loaded(settings: type[AllSettings]) -> None:
    settings(plugins=(SCHEME, CHANNEL)).load_plugins(KINDS)
    assert "tensor-range" in SCHEMES and "bursts" in CHANNELS


def test_a_link_takes_the_channels_of_a_file_and_leaves_the_rest() -> None:
    LinkSettings(plugins=(SCHEME, CHANNEL)).load_plugins((CHANNELS,))
    assert "bursts" in CHANNELS and "tensor-range" not in SCHEMES


@pytest.mark.parametrize("settings", ALL, ids=lambda cls: cls.__module__)
def test_production_takes_plug_ins_only_where_the_settings_say_so(
    settings: type[AllSettings],
) -> None:
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
    with pytest.raises(
        UnknownNameError, match="no channel 'bursts'; known: awgn, cascade, erasures"
    ):
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


REFUSED = [
    (ClientSettings, "FLIGHTS", "0", "at least 1, got 0"),
    (ClientSettings, "FLIGHTS", "-1", "at least 1, got -1"),
    (ClientSettings, "FLIGHTS", "three", "an integer, got 'three'"),
    (ClientSettings, "TRIES", "1.5", "an integer, got '1.5'"),
    (ClientSettings, "PATIENCE", "9" * 5000, f"an integer, got '{'9' * 39}…{'9' * 39}'"),
    (ClientSettings, "CONNECT_TIMEOUT_S", "0", "more than 0, got 0"),
    (ClientSettings, "CONNECT_TIMEOUT_S", "-1", "more than 0, got -1"),
    (ClientSettings, "ANSWER_TIMEOUT_S", "nan", "at most 1000000, got nan"),
    (ClientSettings, "ANSWER_TIMEOUT_S", "inf", "at most 1000000, got inf"),
    (ClientSettings, "ANSWER_TIMEOUT_S", "1e300", "at most 1000000, got 1e300"),
    (ClientSettings, "LINK", "link:8801", "a URL such as http://127.0.0.1:8801, got 'link:8801'"),
    (
        ClientSettings,
        "LINK",
        "http://[::1",
        "a URL such as http://127.0.0.1:8801, got 'http://[::1'",
    ),
    (LinkSettings, "RECEIVER", "ftp://a", "a URL such as http://127.0.0.1:8801, got 'ftp://a'"),
    (
        LinkSettings,
        "RECEIVER",
        "http://a:0",
        "a URL such as http://127.0.0.1:8801, got 'http://a:0'",
    ),
    # What Kubernetes sets where a service is called weightcast-link.
    (LinkSettings, "PORT", "tcp://10.0.0.1:8801", "an integer, got 'tcp://10.0.0.1:8801'"),
    (LinkSettings, "PORT", "65536", "at most 65535, got 65536"),
    (LinkSettings, "PORT", "-1", "at least 0, got -1"),
    (LinkSettings, "MAX_FLIGHTS", "0", "at least 1, got 0"),
    (LinkSettings, "MIN_BODY_BYTES_PER_S", "0", "more than 0, got 0"),
    (LinkSettings, "GRACE_S", "-0.5", "at least 0, got -0.5"),
    (LinkSettings, "LOG_FORMAT", "yaml", "'text' or 'json', got 'yaml'"),
    (ServerSettings, "PRODUCTION", "perhaps", "true or false, got 'perhaps'"),
    (ServerSettings, "EVALUATE", "\x1b[2J", r"true or false, got '\x1b[2J'"),
    (ServerSettings, "MAX_CONNECTIONS", "0", "at least 1, got 0"),
    (ServerSettings, "SPARE_BYTES", "-1", "at least 0, got -1"),
    (ServerSettings, "LEASE_S", "0", "more than 0, got 0"),
    (ServerSettings, "KEEP_FINISHED_S", "nan", "more than 0, got nan"),
]


@pytest.mark.parametrize(("settings", "name", "value", "said"), REFUSED)
def test_a_setting_out_of_range_is_named_with_its_value_and_what_is_allowed(
    settings: type[AllSettings], name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"{settings.model_config['env_prefix']}{name}"
    monkeypatch.setenv(variable, value)
    with pytest.raises(ParameterError) as caught:
        settings()
    assert str(caught.value) == f"{variable} must be {said}"


def test_an_option_out_of_range_is_named_as_an_option() -> None:
    with pytest.raises(ParameterError, match=r"^--port must be at most 65535, got 70000$"):
        ServerSettings(port=70_000)


@pytest.mark.parametrize("settings", ALL, ids=lambda cls: cls.__module__)
def test_an_empty_variable_is_the_default(
    settings: type[AllSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = settings()
    for name in settings.model_fields:
        monkeypatch.setenv(f"{settings.model_config['env_prefix']}{name.upper()}", "")
    assert settings() == before and not settings().model_fields_set


def test_every_number_has_a_range() -> None:
    unbounded = {
        name
        for settings in ALL
        for name, field in settings.model_fields.items()
        if field.annotation in (int, float) and not field.metadata
    }
    assert not unbounded


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WEIGHTCAST_CLIENT_MODELS", "~/models")
    monkeypatch.setenv("WEIGHTCAST_CLIENT_PLUGINS", "~/a.py,~nobody-of-this-name/b.py")
    settings = ClientSettings()
    assert settings.cache == tmp_path / ".cache/weightcast"
    assert settings.models == tmp_path / "models"
    assert settings.plugins == (tmp_path / "a.py", Path("~nobody-of-this-name/b.py"))


def test_without_a_home_folder_settings_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert ClientSettings().cache == ServerSettings().cache == Path("~/.cache/weightcast")
