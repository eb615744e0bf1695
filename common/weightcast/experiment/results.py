"""Results: a file with one line of JSON per run that is done."""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple, TypedDict, cast

from weightcast.errors import FormatError, ParameterError, UnknownNameError
from weightcast.experiment.figures import RunResult
from weightcast.experiment.runs import Run, RunFields, run_of
from weightcast.paths import expanded

_STARTS = (b'{"model": ', b'{"transmission": ')
"""How every row begins, torn or not: of a sweep, and of `client send --json`."""


class MadeBy(TypedDict, total=False):
    """Maker of a row of results, if it is told."""

    made_by: str


class RowFields(RunFields, RunResult, MadeBy):
    """Fields of a row of results, with the keys of `docs/results.md`."""


class Row(NamedTuple):
    """A run and its figures.

    Args:
        run: that was done.
        figures: the whole line.
    """

    run: Run
    figures: RowFields


class Results:
    """A file with one line of JSON per run that is done; a run that is there is not done again.

    Several processes may add to one file and sort it. Nothing is written before the first `add`.

    Args:
        path: of the file; a last line that a kill has torn does not count.
    """

    def __init__(self, path: Path) -> None:
        self.path = expanded(path)
        self._rows: dict[str, Row] = {}
        if self.path.exists():
            with _locked(self.path, "rb") as file:
                self._read(file)

    def __contains__(self, run: Run) -> bool:
        """Return whether the run is done."""
        return run.key in self._rows

    def __getitem__(self, run: Run) -> Row:
        """Return the row of a run."""
        return self._rows[run.key]

    def rows(self) -> list[Row]:
        """Return all rows, in the order of the file."""
        return list(self._rows.values())

    def add(self, run: Run, result: RunResult, made_by: str | None = None) -> None:
        """Append the result of a run, durably; a torn last line goes."""
        maker: MadeBy = {} if made_by is None else {"made_by": made_by}
        row = Row(run, {**run.row(), **result, **maker})
        self._rows[run.key] = row
        with _locked(self.path, "ab+") as file:
            _drop_torn_line(file)
            file.write(json.dumps(row.figures).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def sort(self, runs: Iterable[Run]) -> None:
        """Rewrite the file in the order of the runs, with rows of other runs after them."""
        order = {run.key: i for i, run in enumerate(runs)}
        with _locked(self.path, "ab+") as file:
            self._read(file)
            keys = sorted(self._rows, key=lambda key: order.get(key, len(order)))
            lines = (json.dumps(self._rows[key].figures) + "\n" for key in keys)
            place = self.path.resolve()
            new = place.with_name(f".{place.name}.{secrets.token_hex(4)}.new")
            new.write_text("".join(lines))
            shutil.copymode(place, new)
            new.replace(place)

    def _read(self, file: IO[bytes]) -> None:
        file.seek(0)
        for n, fields in whole_lines(self.path, file.read())[0]:
            row = row_of(fields, f"'{self.path}': line {n}")
            self._rows[row.run.key] = row


def row_of(fields: dict[str, Any], where: str) -> Row:
    """Return a row of results as it stands in a file.

    Raises:
        FormatError: it is none; begins with ``where``.
    """
    try:
        run = run_of(fields)
    except (ParameterError, UnknownNameError) as error:
        raise FormatError(f"{where}: {error}") from None
    except KeyError as error:
        raise FormatError(f"{where} is not a row of results: it has no {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise FormatError(f"{where} is not a row of results: {error}") from None
    return Row(run, cast(RowFields, fields))


@contextmanager
def _locked(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """Open a file, or what has replaced it meanwhile, while no other process writes it."""
    while True:
        with path.open(mode) as file:
            fcntl.flock(file, fcntl.LOCK_SH if mode == "rb" else fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return


def _drop_torn_line(file: IO[bytes]) -> None:
    """Cut off what stands behind the last line end, or end the line if it is a whole row."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read() in (b"", b"\n"):
        return
    file.seek(0)
    rest = file.read().rpartition(b"\n")[2]
    if parsed(rest) is None:
        file.truncate(size - len(rest))
    else:
        file.write(b"\n")


def whole_lines(path: Path, text: bytes) -> tuple[list[tuple[int, dict[str, Any]]], int | None]:
    """Return (number, row) of each line that is not blank, and the number of a torn last one.

    Raises:
        FormatError: a line is no JSON object, and not the last one, cut off.
    """
    found, lines = [], text.split(b"\n")
    for n, line in enumerate(lines, 1):
        row = parsed(line)
        if row is not None:
            found.append((n, row))
        elif line.strip():
            starts = [start for start in _STARTS if start[: len(line)] == line[: len(start)]]
            if n < len(lines) or not starts:
                raise FormatError(f"'{path}': line {n} is not a row of results")
            return found, n
    return found, None


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line is, or None."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None
