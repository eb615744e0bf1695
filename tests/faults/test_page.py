"""The pages on reliability name tests that exist, and the figures that were noted."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAST = 55


def lines_of(page: str) -> list[tuple[int, str]]:
    """Return row and text of each line of the tables with numbered rows."""
    text = (ROOT / "docs" / page).read_text()
    found = re.findall(r"^\| (\d+) \| (.*) \|$", text, flags=re.M)
    return [(int(row), rest) for row, rest in found]


TESTS = lines_of("reliability-tests.md")


def test_every_promise_is_there_in_its_order() -> None:
    assert [row for row, _ in lines_of("reliability.md")] == list(range(1, LAST + 1))


@pytest.mark.parametrize("row", range(1, LAST + 1))
def test_a_promise_has_tests_that_exist(row: int) -> None:
    named = [
        re.fullmatch(r"`(tests/[^`]+[.]py)::(test_\w+)`", test) for r, test in TESTS if r == row
    ]
    assert named
    for found in named:
        assert found is not None
        assert f"def {found[2]}(" in (ROOT / found[1]).read_text(), found[2]


def test_the_figures_are_those_that_were_noted_last() -> None:
    noted = map(json.loads, (ROOT / "docs/reliability.jsonl").read_text().splitlines())
    seen = [(line["row"], line["figure"], line["test"]) for line in noted]
    assert sorted(lines_of("findings/torture.md")) == sorted((row, text) for row, text, _ in seen)
    tests = {(row, path.strip("`").partition("::")[2]) for row, path in TESTS}
    assert {(row, test) for row, _, test in seen} <= tests
