"""The figures that the tests of faults note for the rows of `docs/reliability.md`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parents[2] / "docs" / "reliability.jsonl"

Figure = Callable[[int, str], None]
"""The fixture `figure`: notes the figure seen for a row (row, text)."""

Times = Callable[[int, int], int]
"""The fixture `times`: how often (in every run of the tests, in the long version)."""


def keep(noted: list[dict[str, Any]]) -> None:
    """Write figures to their file; those of other tests stay."""
    lines = [json.loads(line) for line in FIGURES.read_text().splitlines()]
    new = {(line["row"], line["test"]) for line in noted}
    lines = [line for line in lines if (line["row"], line["test"]) not in new] + noted
    lines.sort(key=lambda line: (line["row"], line["test"]))
    FIGURES.write_text("".join(json.dumps(line) + "\n" for line in lines))
