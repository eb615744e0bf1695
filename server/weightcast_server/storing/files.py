"""Parts, side information and models on disk; what is acknowledged survives a crash.

A file gets its name only when it is complete and on disk: write, fsync, rename, fsync the folder.
The names of parts and side information hold their SHA-256, so that receivers which share the folder
never write different bytes under one name; the database says which of them count.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from weightcast.arrays import Symbols
from weightcast.errors import FormatError
from weightcast.wire.header import PART_SYMBOLS
from weightcast.wire.symbols import parse_symbols
from weightcast_web.failpoints import reach
from weightcast_web.refusal import Refusal


class Folder:
    """The files of one transmission."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts_path = path / "parts"
        self.model = path / "model.safetensors"

    def create(self) -> None:
        """Make the folder unless it is there, durably; refuse with 507 if the disk is full."""
        with refusing_disk_errors():
            self.parts_path.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path)
            sync_folder(self.path.parent)

    def remove(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def side(self, sha256: str) -> Path:
        """Return the file of side information with this digest."""
        return self.path / f"side.{sha256}.safetensors"

    def part(self, n: int, sha256: str) -> Path:
        """Return the file of a part with this digest."""
        return self.parts_path / f"{n}.{sha256}"

    def present(self, parts: Mapping[int, str]) -> list[int]:
        """Return which of the parts, given by number and digest, are on disk, in order."""
        try:
            names = set(os.listdir(self.parts_path))  # noqa: PTH208 (three times as fast)
        except FileNotFoundError:
            return []
        return sorted(n for n, sha256 in parts.items() if f"{n}.{sha256}" in names)

    def symbols(self, digests: Sequence[str]) -> Iterator[Symbols]:
        """Yield the parts in order, each checked against its digest once more."""
        for n, sha256 in enumerate(digests):
            try:
                raw = bytearray(self.part(n, sha256).read_bytes())
            except FileNotFoundError:
                raise FormatError(f"part {n} is not on disk any more") from None
            if hashlib.sha256(raw).hexdigest() != sha256:
                raise FormatError(f"part {n} is corrupt on disk")
            yield parse_symbols(raw, at=n * PART_SYMBOLS, limited=False)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name complete and durable, or not at all."""
    temporary = unfinished(path.parent)
    try:
        with refusing_disk_errors(), temporary.open("wb") as file:
            yield file
            keep_under(file, path)
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(folder: Path) -> Path:
    """Return a name in a folder for a file that is to get another there when it is complete."""
    return folder / f"{secrets.token_hex(8)}.new"


def keep_under(file: BinaryIO, path: Path) -> None:
    """Make what was written durable, then give it its name, then make the name durable."""
    what = "part" if path.parent.name == "parts" else path.name.partition(".")[0]
    file.flush()
    reach(f"{what}-written")
    os.fsync(file.fileno())
    reach(f"{what}-synced")
    Path(file.name).rename(path)
    reach(f"{what}-renamed")
    sync_folder(path.parent)
    reach(f"{what}-kept")


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def deleting_refused(folder: Folder, path: Path) -> Iterator[None]:
    """Delete a file that the database refuses, or the whole folder of what is no more.

    A refusal with 503 says nothing about what the database has done, so the file stays then.
    """
    try:
        yield
    except Refusal as refusal:
        if refusal.status == 409:
            path.unlink(missing_ok=True)
        elif refusal.status in (404, 410):
            folder.remove()
        raise


@contextmanager
def refusing_disk_errors() -> Iterator[None]:
    """Turn a full disk, or a folder that was deleted meanwhile, into a refusal."""
    try:
        yield
    except FileNotFoundError:
        raise Refusal(404, "no-transmission", "no such transmission") from None
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise Refusal(507, "disk-full", "the receiver's disk is full") from None


class SymbolReader:
    """The symbols of a transmission in order, whatever the parts' lengths."""

    def __init__(self, parts: Iterator[Symbols]) -> None:
        self._parts = parts
        self._rest: Symbols = np.zeros(0, np.float32)

    def take(self, n: int) -> Symbols:
        """Return the next ``n`` symbols."""
        if len(self._rest) >= n:
            taken, self._rest = self._rest[:n], self._rest[n:]
            return taken
        pieces = [self._rest]
        have = len(self._rest)
        while have < n:
            pieces.append(next(self._parts))
            have += len(pieces[-1])
        joined = np.concatenate(pieces)
        self._rest = joined[n:]
        return joined[:n]
