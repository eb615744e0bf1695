"""A file of results: one line of JSON per run that is done."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from weightcast.errors import FormatError, ParameterError, UnknownNameError
from weightcast.experiment.runs import Run, run_of

Figures = Mapping[str, Any]
_START = b'{"model": '
"""How every row begins, torn or not."""


class Row(NamedTuple):
    """A run and its figures.

    Args:
        run: that was done.
        figures: the whole line, with the keys of `docs/results.md`.
    """

    run: Run
    figures: Figures


class Results:
    """A file with one line of JSON per run that is done; a run that is there is not done again.

    Several processes may add to one file and sort it. Nothing is written before the first `add`.

    Args:
        path: of the file; a last line that a kill has torn does not count.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, Row] = {}
        if path.exists():
            with _locked(path, "rb") as file:
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

    def add(self, run: Run, figures: Figures) -> None:
        """Append the result of a run, durably; a torn last line goes."""
        row = Row(run, run.row() | dict(figures))
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
            temporary = self.path.with_suffix(".new")
            temporary.write_text("".join(lines))
            temporary.replace(self.path)

    def _read(self, file: IO[bytes]) -> None:
        for n, row in _whole_lines(self.path, file):
            try:
                run = run_of(row)
            except (KeyError, TypeError, AttributeError) as error:
                raise FormatError(
                    f"'{self.path}': line {n} is not a row of results: {error!r}"
                ) from None
            except (ParameterError, UnknownNameError) as error:
                raise FormatError(f"'{self.path}': line {n}: {error}") from None
            self._rows[run.key] = Row(run, row)


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
    if _parsed(rest) is None:
        file.truncate(size - len(rest))
    else:
        file.write(b"\n")


def _whole_lines(path: Path, file: IO[bytes]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, row) of each line; a torn last one is left out."""
    file.seek(0)
    lines = file.read().split(b"\n")
    for n, line in enumerate(lines, 1):
        row = _parsed(line)
        if row is not None:
            yield n, row
        elif n < len(lines) or not (line + _START[len(line) :]).startswith(_START):
            raise FormatError(f"'{path}': line {n} is not a row of results")


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
