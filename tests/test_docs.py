"""What the documents say is what the code does."""

import dataclasses
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml
from test_architecture import PACKAGES, ROOMS

import weightcast
from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS
from weightcast.tasks import TASKS
from weightcast_client import cli as client
from weightcast_client.screen.console import show_result
from weightcast_client.settings import Settings as ClientSettings
from weightcast_link import cli as link
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server import cli as server
from weightcast_server.settings import Settings as ServerSettings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
LONGEST_CELL, WIDEST_TABLE_OF_README = 200, 80
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


def anchors(document: Path) -> set[str]:
    """Return the names of the headings of a page, as links spell them."""
    headings = re.findall(r"^#+ (.*)", document.read_text(), flags=re.M)
    return {re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if "://" not in target:
            file, _, anchor = target.partition("#")
            path = document.parent / file if file else document
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_modules_that_documents_name_exist(document: Path) -> None:
    near = (ROOT, ROOT / "tests/common", ROOT / "docs")
    roots = (*near, *PACKAGES.values(), *(folder.parent for folder in PACKAGES.values()))
    for name in re.findall(r"`([\w/]+\.py)\b", document.read_text()):
        found = (root / name for root in roots)
        assert "/" not in name or any(path.exists() for path in found), name


def cells(row: str) -> list[str]:
    """Return the cells of a row of a table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_have_a_header_and_short_cells(document: Path) -> None:
    text = document.read_text()
    for header in re.findall(r"^(\|.*)\n\|[ :|-]+$", text, flags=re.M):
        assert all(cells(header)), header
    rows = re.findall(r"^\|.*", text, flags=re.M)
    for row in rows:
        assert max(map(len, cells(row))) <= LONGEST_CELL, row
        assert document.name != "README.md" or len(row) <= WIDEST_TABLE_OF_README, row


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_of_the_architecture_has_the_rooms_from_the_bottom_up(package: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    section = text.partition(f"## Rooms of `{package}`\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.M) == ROOMS[package].split()


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert str(citation["version"]) == weightcast.__version__
    assert citation["license"] == "Apache-2.0"


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
def test_every_key_and_every_line_of_the_result_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["send", "--std=0.1", "--limit=20", "--repeat=2", "--json"]
    typer.main.get_command(client.app)(words, standalone_mode=False)
    result = json.loads(capsys.readouterr().out)
    table, _, text = (ROOT / "docs/results.md").read_text().partition("## The JSON")
    for key, value in result.items():
        assert f"`{key}`" in text, key
        if key == "seconds":
            assert all(f"`{phase}`" in text for phase in value)
    rows = re.findall(r"^\|.*", table, flags=re.M)
    explained = {name for row in rows for name in cells(row)[0].split("; ")}
    show_result(result)
    shown = re.findall(r"^│ *(.*?) *(?:\(.*\) *)?│", capsys.readouterr().out, flags=re.M)
    assert len(shown) > 20 and set(shown) <= explained
