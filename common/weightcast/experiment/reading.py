"""Reading rows of results that a sweep or `client send --json` has written; nothing is changed."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from weightcast.errors import FormatError
from weightcast.experiment.results import Row, parsed, row_of, whole_lines
from weightcast.paths import expanded

_BEGINNING = re.compile(rb'(\xef\xbb\xbf)?\s*(\{\s*"|$)')
_ALWAYS = ("uses_per_weight", "all_in_uses_per_weight", "weight_mse")
_SOMETIMES = ("accuracy", "clean_accuracy", "sdr_db")
_OF_DRAWS = {"accuracy": "accuracies", "weight_mse": "weight_mses", "sdr_db": "sdrs_db"}


class Reading(NamedTuple):
    """Reading: the rows of a file, each run once, and the number of a last line that is torn."""

    rows: list[Row]
    torn: int | None


def read_rows(path: Path) -> Reading:
    """Return the rows of a file of results, or of what sends have printed.

    Args:
        path: of a file of a sweep, or of the JSON of sends, a line each, or of one in any form.

    Raises:
        FormatError: it cannot be read, or is something else.
    """
    path = expanded(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir() or path.is_fifo()):
            raise FormatError(f"cannot read the results '{path}': it is not a file")
        with path.open("rb") as file:
            text = file.read(64)
            if not _BEGINNING.match(text):
                raise FormatError(f"'{path}' is not a file of results: it begins with {text[:8]!r}")
            text += file.read()
    except OSError as error:
        raise FormatError(f"cannot read the results '{path}': {error.strerror}") from None
    whole = parsed(text)
    lines, torn = whole_lines(path, text) if whole is None else ([(1, whole)], None)
    found: dict[str, Row] = {}
    for n, fields in lines:
        where = f"'{path}': line {n}"
        for draw in _draws(fields, where) if "transmission" in fields else [fields]:
            row = row_of(draw, where)
            _check(row, where)
            found[row.run.key] = row
    return Reading(list(found.values()), torn)


def _draws(fields: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield a row for each draw of a send."""
    setup, ids = fields.get("setup"), fields.get("transmissions")
    if not isinstance(setup, dict) or not isinstance(setup.get("draw"), int):
        raise FormatError(f"{where} is not what a send has printed: it has no setup with a draw")
    for draw in range(len(ids) if isinstance(ids, list) else 1):
        own = {
            name: fields[several][draw]
            for name, several in _OF_DRAWS.items()
            if isinstance(fields.get(several), list) and draw < len(fields[several])
        }
        yield (
            fields
            | own
            | {
                # A send does not tell the digest of its model; these tell most models apart.
                "model_digest": f"{fields.get('n_weights')} {fields.get('clean_accuracy')}",
                "setup": setup | {"draw": setup["draw"] + draw},
            }
        )


def _check(row: Row, where: str) -> None:
    """Raise a `FormatError` unless the figures that tables show are there, and numbers."""
    figures: dict[str, Any] = {**row.figures}
    for name in (*_ALWAYS, *_SOMETIMES):
        value = figures.get(name)
        is_missing = value is None and name in _ALWAYS
        if is_missing or not (value is None or _is_number(value)):
            raise FormatError(f"{where}: {name} must be a number, got {value!r}")
    if figures.get("accuracy") is not None and figures.get("clean_accuracy") is None:
        raise FormatError(f"{where}: it has an accuracy, but no clean_accuracy")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return isinstance(value, int | float)
