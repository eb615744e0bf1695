"""The page on reliability names tests that exist, and the figures that were noted."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reliability.md").read_text()
ROWS = {int(row): line for line, row in re.findall(r"^(\| (\d+) \|.*)$", PAGE, flags=re.M)}
LAST = 55


def test_every_row_is_there_in_its_order() -> None:
    assert list(ROWS) == list(range(1, LAST + 1))


@pytest.mark.parametrize("row", range(1, LAST + 1))
def test_a_row_names_tests_that_exist_or_says_why_not(row: int) -> None:
    _, _, _, tests, figure, _ = re.split(r" ?\| ?", ROWS[row])
    named = re.findall(r"`(tests/[^`]+[.]py)::(test_\w+)`", tests)
    assert named or "does not apply" in figure
    for path, name in named:
        assert f"def {name}(" in (ROOT / path).read_text(), name


def test_the_figures_are_those_that_were_noted_last() -> None:
    for line in (ROOT / "docs/reliability.jsonl").read_text().splitlines():
        noted = json.loads(line)
        assert noted["figure"] in ROWS[noted["row"]], noted
        assert noted["test"] in ROWS[noted["row"]], noted
