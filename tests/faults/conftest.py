"""What the tests of faults share: how long they are, what they note, that they leave nothing."""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from driver.processes import until
from faults.figures import Figure, Times, keep
from faults.hops import Chain, Hop, chain, receiver_in

_noted: list[dict[str, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--torture", action="store_true", help="hundreds of kills and cuts")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is for the long version only."""
    if not config.getoption("--torture", default=False):
        items[:] = [item for item in items if item.get_closest_marker("torture") is None]


@pytest.fixture(scope="session")
def is_torture(pytestconfig: pytest.Config) -> bool:
    """Whether this is the long version."""
    return bool(pytestconfig.getoption("--torture", default=False))


@pytest.fixture(scope="session")
def times(is_torture: bool) -> Times:
    """A choice of how often: (in every run of the tests, in the long version)."""
    return lambda few, many: many if is_torture else few


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """A call that notes the figure seen for a row of `docs/reliability.md`: (row, text)."""

    def note(row: int, text: str) -> None:
        _noted.append({"row": row, "test": request.node.originalname, "figure": text})

    return note


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Show a line per row; the long version keeps them for the table in the docs."""
    for line in sorted(_noted, key=lambda line: line["row"]):
        terminalreporter.write_line(f"row {line['row']:2}: {line['figure']}")
    if config.getoption("--torture", default=False):
        keep(_noted)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Hop]:
    """A receiver of one's own, to be started; its data is in `tmp_path / "data"`."""
    with receiver_in(tmp_path, "--no-evaluate") as own:
        yield own


@pytest.fixture
def hops(tmp_path: Path) -> Iterator[Chain]:
    """A `Chain` of one's own."""
    with chain(tmp_path) as own:
        yield own


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """After every test: files, threads and child processes are as they were before it."""

    def children() -> int:
        return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())

    def now() -> tuple[int, int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), children()

    before = now()
    yield
    with suppress(TimeoutError):
        until(lambda: all(left <= right for left, right in zip(now(), before, strict=True)), 10)
    for what, left, right in zip(("files", "threads", "children"), now(), before, strict=True):
        assert left <= right, what
