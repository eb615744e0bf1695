"""Parts, side information and models on disk; what is acknowledged survives a crash.

A file gets its name only when it is complete and on disk: write, fsync, rename, fsync the folder.
A part's name holds its number and its SHA-256, so the folder is the list of what has arrived.
"""

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from weightcast.arrays import Symbols
from weightcast.errors import FormatError
from weightcast.wire.header import PART_SYMBOLS, Header
from weightcast.wire.symbols import parse_symbols
from weightcast_web.problems import Refusal


class Folder:
    """The files of one transmission."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts_path = path / "parts"
        self.side = path / "side.safetensors"
        self.model = path / "model.safetensors"

    def create(self) -> None:
        """Make the folder; it may be there."""
        self.parts_path.mkdir(parents=True, exist_ok=True)

    def remove(self) -> None:
        """Delete it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def parts(self) -> dict[int, str]:
        """Return the SHA-256 of each part that has arrived, hexadecimal, by number."""
        if not self.parts_path.exists():
            return {}
        names = [p.name for p in self.parts_path.iterdir() if p.suffix != ".new"]
        return {int(name[:-65]): name[-64:] for name in names}

    def add_part(self, n: int, raw: bytes | bytearray, sha256: str) -> None:
        """Store a verified part; refuse with 409 if it is there with other bytes."""
        there = self.parts().get(n)
        if there == sha256:
            return
        if there is not None:
            raise Refusal(409, "part-differs", f"part {n} has arrived before with other bytes")
        with new_file(self.parts_path / f"{n}.{sha256}") as file:
            file.write(raw)

    def symbols(self, header: Header) -> Iterator[Symbols]:
        """Yield the parts in order, each checked against its digest once more."""
        there = self.parts()
        for n in range(header.n_parts):
            raw = bytearray((self.parts_path / f"{n}.{there[n]}").read_bytes())
            if hashlib.sha256(raw).hexdigest() != there[n]:
                raise FormatError(f"part {n} is corrupt on disk")
            yield parse_symbols(raw, at=n * PART_SYMBOLS, limited=False)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name complete and durable, or not at all."""
    temporary = unfinished(path)
    try:
        with temporary.open("wb") as file:
            yield file
            settle(file, path)
    except OSError as error:
        raise _in_words(error) from None
    finally:
        temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Return a name for a file that is to become ``path``."""
    return path.with_name(f"{secrets.token_hex(8)}.new")


def settle(file: BinaryIO, path: Path) -> None:
    """Make what was written durable, then give it its name."""
    try:
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _in_words(error) from None


def write_into(file: BinaryIO, piece: bytes) -> None:
    """Write; a full disk becomes a refusal."""
    try:
        file.write(piece)
    except OSError as error:
        raise _in_words(error) from None


def _in_words(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal(507, "disk-full", "the receiver's disk is full")
    return error


class Taker:
    """Hands out symbols in order, whatever the parts' lengths."""

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
