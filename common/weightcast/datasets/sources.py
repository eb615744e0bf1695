"""Arrays of a data set: pinned by digest, kept in the cache whole or not at all, from any source.

The sources are tried in order. One that fails is a part of one line, never a traceback, and nothing
that it left stays behind. Arrays are verified when they are kept and whenever they are loaded.
"""

import hashlib
import http.client
import lzma
import secrets
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from weightcast.datasets.base import Fetching, Split
from weightcast.datasets.cache import SCRATCH, alone, scratch_folder, tidy
from weightcast.datasets.samples import split
from weightcast.errors import DataError

Bytes = npt.NDArray[np.uint8]
Arrays = dict[str, Bytes]

Source = Callable[[Path, Fetching], Arrays]
"""Returns arrays by name; may write what it likes into the empty folder that it is given."""

BROKEN = (
    DataError, OSError, EOFError, ValueError, SyntaxError, OverflowError, RuntimeError, MemoryError,
    struct.error, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile,
    subprocess.SubprocessError,
)  # fmt: skip
"""What the readers of archives, pictures and JSON raise for bytes that are not what they should be.

(A broken PNG is a SyntaxError of Pillow, a zip with a password a RuntimeError.)
"""

FOREIGN = (
    *BROKEN, ImportError, LookupError, TypeError, AssertionError, ArithmeticError, AttributeError,
    http.client.HTTPException,
)  # fmt: skip
"""What libraries raise besides, for the same, or for a package that they need."""


def silent(what: str, done: int, total: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True)
class Pin:
    """SHA-256 that an array must have.

    Args:
        digest: in hexadecimal, of the prefix and the array's bytes in C order.
        prefix: what a file of the array has before them.
    """

    digest: str
    prefix: bytes = b""

    def check(self, name: str, values: Bytes, where: str) -> None:
        """Raise a `DataError` that says where an array is from, unless it is the pinned one."""
        found = hashlib.sha256(self.prefix)
        found.update(np.ascontiguousarray(values).data)
        if values.dtype != np.uint8 or found.hexdigest() != self.digest:
            raise DataError(
                f"{where}: {name} has the SHA-256 {found.hexdigest()}, expected {self.digest}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedArrays:
    """The arrays of one data set, in the cache as `PREFIX-NAME.npy`.

    Args:
        title: the name that people know it by.
        command: that fetches them.
        prefix: of the files' names.
        pins: by name of array.
    """

    title: str
    command: str = "client data"
    prefix: str
    pins: Mapping[str, Pin]

    def load(self, cache: Path, name: str) -> Bytes:
        """Return an array, verified.

        Raises:
            DataError: not in the cache, or not what the pin promises.
        """
        path = self._path(cache, name)
        try:
            with path.open("rb") as file:
                values = np.load(file, allow_pickle=False)
        except FileNotFoundError:
            raise DataError(
                f"{self.title} is not in the cache; `{self.command}` fetches it"
            ) from None
        except BROKEN as error:
            raise DataError(f"{path.name} in the cache cannot be read: {one_line(error)}") from None
        if not isinstance(values, np.ndarray):
            values.close()
            raise DataError(f"{path.name} in the cache cannot be read: it is an archive")
        found: Bytes = values
        self.pins[name].check(name, found, "the cache")
        return found

    def load_split(
        self, cache: Path, part: Split, n_validation: int, n: int | None = None
    ) -> tuple[Bytes, Bytes]:
        """Return the first ``n`` images of a split, or all, and their labels, verified.

        Args:
            cache: folder of data sets.
            part: `train` and `validation` share the stored training samples; see `split`.
            n_validation: training samples that are held back.
            n: samples; None: all.

        Raises:
            DataError: as for `load`.
        """
        stored = "test" if part == "test" else "train"
        images = self.load(cache, f"{stored}-images")
        labels = self.load(cache, f"{stored}-labels")
        if part == "test":
            return images[:n], labels[:n]
        kept, held_back = split(len(labels), n_validation)
        chosen = (held_back if part == "validation" else kept)[:n]
        return images[chosen], labels[chosen]

    def is_there(self, cache: Path) -> bool:
        """Return whether all arrays are in the cache, verified."""
        try:
            for name in self.pins:
                self.load(cache, name)
        except DataError:
            return False
        return True

    def save(self, cache: Path, name: str, values: Bytes) -> None:
        """Verify an array and write it to the cache, whole or not at all."""
        self.pins[name].check(name, values, "the source")
        new = cache / f"{SCRATCH}{secrets.token_hex(8)}"
        try:
            with new.open("wb") as file:
                np.save(file, values)
            new.replace(self._path(cache, name))
        finally:
            new.unlink(missing_ok=True)

    def fetch(self, cache: Path, sources: Mapping[str, Source], report: Fetching = silent) -> str:
        """Put the arrays into the cache, unless they are there; return where they came from.

        One process at a time fetches into a cache; others wait, and then find what they want.

        Args:
            cache: folder; made if it is not there.
            sources: by name, in the order in which they are tried.
            report: is told how far it is.

        Returns:
            `cache`, or the name of a source.

        Raises:
            DataError: no source could give them; the message says what each of them said.
        """
        if self.is_there(cache):
            tidy(cache)
            return "cache"
        with alone(cache, report):
            if self.is_there(cache):
                return "cache"
            said = []
            for name, source in sources.items():
                with scratch_folder(cache) as scratch:
                    try:
                        self._keep(cache, source(scratch, report))
                        return name
                    except BROKEN as error:
                        said.append(f"{name}: {one_line(error)}")
        if len(sources) > 1:
            said.append(f"`{self.command} --from FILE` takes an archive that you have")
        raise DataError(f"cannot get {self.title}; {'; '.join(said)}")

    def _keep(self, cache: Path, arrays: Arrays) -> None:
        missing = sorted(self.pins.keys() - arrays.keys())
        if missing:
            raise DataError(f"there is no {', '.join(missing)} in it")
        for name in self.pins:
            self.save(cache, name, arrays[name])

    def _path(self, cache: Path, name: str) -> Path:
        return cache / f"{self.prefix}-{name}.npy"


def one_line(error: BaseException) -> str:
    """Return what an error says: its first line, or its name if it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
