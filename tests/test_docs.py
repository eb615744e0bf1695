"""What the documents say is what the code does."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS
from weightcast.tasks import TASKS
from weightcast_client import cli as client
from weightcast_client.settings import Settings as ClientSettings
from weightcast_link import cli as link
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server import cli as server
from weightcast_server.settings import Settings as ServerSettings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {"client": client.app, "server": server.app, "weightcast-link": link.app}


@pytest.mark.parametrize(
    ("document", "registry"),
    [
        ("coding.md", SCHEMES),
        ("decoders.md", DECODERS),
        ("channels.md", CHANNELS),
        ("tasks.md", TASKS),
    ],
)
def test_every_registered_name_has_a_section_that_names_its_params(
    document: str, registry: dict[str, type]
) -> None:
    text = (ROOT / "docs" / document).read_text()
    sections = {s.splitlines()[0].strip("` "): s for s in re.split(r"^## ", text, flags=re.M)[1:]}
    for name, cls in registry.items():
        assert name in sections, f"{document} has no section '{name}'"
        for field in dataclasses.fields(cls):
            assert f"`{field.name}`" in sections[name], f"section '{name}' misses {field.name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_parse(document: Path) -> None:
    for line in re.findall(r"^(?:\$ )?((?:client|server|weightcast-link)\b[^`\n]*)$",
                           document.read_text(), flags=re.M):  # fmt: skip
        name, *words = shlex.split(line.split(" #")[0])
        command = typer.main.get_command(COMMANDS[name])
        while hasattr(command, "commands") and words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        command.make_context(name, words)


def written(value: Any) -> str:
    """Return a default as the table shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).replace(str(Path.home()), "~")


def test_the_table_of_settings_is_complete() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    for settings in (ClientSettings, LinkSettings, ServerSettings):
        prefix = settings.model_config["env_prefix"]
        for name, field in settings.model_fields.items():
            row = re.search(rf"^\| `{prefix}{name.upper()}` \| ([^|]*) \|", text, flags=re.M)
            assert row, f"no row for {prefix}{name.upper()}"
            assert row[1].strip().strip("`").replace(",", "") == written(field.default), name
    rows = re.findall(r"^\| `WEIGHTCAST_", text, flags=re.M)
    known = (ClientSettings, LinkSettings, ServerSettings)
    assert len(rows) == sum(len(settings.model_fields) for settings in known)


@pytest.mark.cifar
def test_every_key_of_the_result_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["send", "--std=0.1", "--limit=20", "--repeat=2", "--json"]
    typer.main.get_command(client.app)(words, standalone_mode=False)
    text = (ROOT / "docs/results.md").read_text()
    for key, value in json.loads(capsys.readouterr().out).items():
        assert f"`{key}`" in text, key
        if key == "seconds":
            assert all(f"`{phase}`" in text for phase in value)
