"""The compose file and the Dockerfile hold what the programs and the documents say."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic_settings import BaseSettings

from weightcast_client.settings import Settings as ClientSettings
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server.settings import Settings as ServerSettings

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
VARIABLE = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
DEVELOPMENT = "weightcast-development-token"
SETTINGS: dict[str, type[BaseSettings]] = {
    settings.model_config["env_prefix"]: settings
    for settings in (ClientSettings, LinkSettings, ServerSettings)
}


def filled(value: Any) -> str:
    """Return a value as it is where the environment says nothing."""
    return VARIABLE.sub(r"\2", str(value))


def stages() -> dict[str, list[tuple[str, str]]]:
    """Return the instructions of each stage of the Dockerfile, with those it is built on."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    found: dict[str, list[tuple[str, str]]] = {}
    now: list[tuple[str, str]] = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            now = found[name] = list(found.get(base, []))
        else:
            now.append((word, rest.strip()))
    return found


def last(stage: str, word: str) -> str:
    """Return what the last instruction of a kind says in a stage."""
    return [rest for found, rest in stages()[stage] if found == word][-1]


def settings_of(service: str) -> Iterator[tuple[type[BaseSettings], dict[str, str]]]:
    """Yield the settings classes that a service's environment speaks to, and the variables."""
    environment = SERVICES[service].get("environment", {})
    for prefix, settings in SETTINGS.items():
        if given := {k: filled(v) for k, v in environment.items() if k.startswith(prefix)}:
            yield settings, given


@pytest.mark.parametrize("service", OURS)
def test_every_variable_is_a_setting_and_its_value_parses(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = 0
    for settings, given in settings_of(service):
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        known = {f"{settings.model_config['env_prefix']}{n.upper()}" for n in settings.model_fields}
        assert given.keys() <= known
        assert len(settings().model_fields_set) == len(given)
        told += len(given)
    assert told == len(SERVICES[service]["environment"].keys() - {"NUMBA_CACHE_DIR"})


@pytest.mark.parametrize("service", OURS)
def test_every_service_that_is_called_exists_and_listens_there(service: str) -> None:
    ports = {"link": LinkSettings().port, "receiver": ServerSettings().port, "db": None}
    for value in SERVICES[service]["environment"].values():
        url = urlsplit(filled(value))
        if url.scheme:
            assert url.port == ports[url.hostname or ""], value


def test_ports_are_published_on_loopback_only_and_none_of_those_that_may_be_several() -> None:
    published = {
        name: [filled(port).rsplit(":", 2) for port in service.get("ports", [])]
        for name, service in SERVICES.items()
    }
    assert {name for name, ports in published.items() if ports} == {"link", "sender"}
    for name, ports in published.items():
        for address, _, inside in ports:
            assert address == "127.0.0.1"
            assert inside == last(SERVICES[name]["build"]["target"], "EXPOSE")
    assert not any("container_name" in service for service in SERVICES.values())


@pytest.mark.parametrize(
    ("target", "port"),
    [
        ("client", ClientSettings().port),
        ("link", LinkSettings().port),
        ("receiver", ServerSettings().port),
    ],
)
def test_every_image_has_a_user_a_port_and_a_health_check(target: str, port: int) -> None:
    assert last(target, "USER") not in ("root", "0")
    assert last(target, "EXPOSE") == str(port)
    assert f'"weightcast_web.telemetry.probe", "{port}"]' in last(target, "HEALTHCHECK")
    assert last(target, "CMD").startswith("[")


def test_every_build_has_a_target_of_the_dockerfile_and_its_defaults() -> None:
    defaults = dict(re.findall(r"^ARG (\w+)=(\S+)$", (ROOT / "Dockerfile").read_text(), flags=re.M))
    for name, service in OURS.items():
        build = service["build"]
        assert build["target"] in stages()
        assert service["image"] == f"weightcast-{build['target']}", name
        arguments = {k: filled(v) for k, v in build["args"].items()}
        assert {k: v for k, v in arguments.items() if v} == defaults


def test_every_volume_is_named_and_belongs_to_the_user_of_the_image() -> None:
    made = next(rest for word, rest in stages()["python"] if "install --directory" in rest)
    used = set()
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source, path = volume.split(":")[:2]
            used.add(source)
            assert name not in OURS or path in shlex.split(made), volume
    assert used == COMPOSE["volumes"].keys() == {"database", "parts", "data", "models", "sends"}


def test_every_folder_that_a_setting_names_is_on_a_volume() -> None:
    for service in OURS:
        mounted = {volume.split(":")[1] for volume in SERVICES[service].get("volumes", [])}
        for settings, given in settings_of(service):
            prefix = settings.model_config["env_prefix"]
            folders = {v for k, v in given.items() if v.startswith("/")}
            if service == "data":
                folders = {given[f"{prefix}CACHE"]}
            assert folders <= mounted, service


def test_who_waits_for_health_waits_for_one_that_is_checked() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            checked = "disable" not in SERVICES[name].get("healthcheck", {})
            checked &= "healthcheck" in SERVICES[name] or "build" in SERVICES[name]
            assert how["condition"] == (
                "service_healthy" if checked else "service_completed_successfully"
            )


def test_a_command_that_is_run_starts_nothing_else() -> None:
    """`run` brings what a service depends on to the scale of the file, so none may."""
    assert {name for name in SERVICES if "profiles" in SERVICES[name]} == {"client"}
    assert "depends_on" not in SERVICES["client"]


def test_the_only_secret_is_the_development_token_and_all_share_it() -> None:
    secret = re.compile("TOKEN|PASSWORD")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert VARIABLE.fullmatch(value), name
                assert filled(value) == DEVELOPMENT
            if "@" in str(value):
                password = urlsplit(value).password or ""
                assert VARIABLE.fullmatch(password) and filled(password) == DEVELOPMENT, name
    for prefix, service_name in [("CLIENT", "sender"), ("LINK", "link"), ("SERVER", "receiver")]:
        environment = SERVICES[service_name]["environment"]
        assert environment[f"WEIGHTCAST_{prefix}_TOKEN"] == COMPOSE["x-token"]
        assert environment[f"WEIGHTCAST_{prefix}_PRODUCTION"] == COMPOSE["x-production"]


def test_every_service_is_confined() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert "mem_limit" in service, name
        assert "privileged" not in service, name


def test_every_variable_of_the_compose_file_is_documented() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    for name, default in set(VARIABLE.findall(TEXT)):
        row = re.search(rf"^\| `{name}` \| ([^|]*) \|", page, flags=re.M)
        assert row, name
        assert row[1].strip().strip("`") == (default or "none"), name
    assert "${" not in VARIABLE.sub("", TEXT)
