"""The cache on disk: its lock, and what is unfinished in it."""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weightcast.datasets.base import Fetching
from weightcast.errors import DataError
from weightcast.paths import expanded

SCRATCH = "weightcast-download-"
"""What the names of unfinished files and folders begin with."""


@contextmanager
def alone(cache: Path, report: Fetching) -> Iterator[None]:
    """Hold the lock of a cache, and first remove what killed downloads left in it.

    Raises:
        DataError: the cache cannot be made, locked or written.
        ParameterError: it is in a home folder that nobody knows.
    """
    expanded(cache)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        folder = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not _locked(folder):
                report("another download", 0, 0)
                fcntl.flock(folder, fcntl.LOCK_EX)
            _remove_scratch(cache)
            yield
        finally:
            os.close(folder)
    except OSError as error:
        raise DataError(f"'{cache}' cannot be the cache: {error.strerror or error}") from None


def tidy(cache: Path) -> None:
    """Remove what killed downloads left in a cache, unless one is going on or it is read-only."""
    folder = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _locked(folder):
            _remove_scratch(cache)
    except OSError:
        pass
    finally:
        os.close(folder)


def _locked(folder: int) -> bool:
    """Take the lock of an open folder and return whether it was free."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_scratch(cache: Path) -> None:
    for left in cache.glob(f"{SCRATCH}*"):
        _remove(left)


@contextmanager
def scratch_folder(cache: Path) -> Iterator[Path]:
    """Make an empty folder in the cache, and remove it at the end."""
    folder = cache / f"{SCRATCH}{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        _remove(folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
