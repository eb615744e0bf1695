"""Data sets that torchvision downloads and checks itself."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from weightcast.datasets.base import Fetching, Split
from weightcast.datasets.cache import alone
from weightcast.datasets.downloads import READ_TIMEOUT_S
from weightcast.datasets.sources import FOREIGN, one_line
from weightcast.errors import DataError
from weightcast.tasks.torchvision.catalogue import Entry
from weightcast.tasks.torchvision.pictures import Labelled, OnDisk


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A data set in `torchvision/NAME` of the cache.

    Args:
        name: of the class in torchvision.datasets; none that unpickles.
        entry: says what arguments the class takes.
    """

    name: str
    entry: Entry

    def fetch(self, cache: Path, report: Fetching, archive: Path | None) -> str:
        """Let torchvision download it; see `weightcast.tasks.base.Task.fetch`."""
        root = self._root(cache)
        if archive is not None:
            raise DataError(f"{self.name} is not read from an archive; its files go into '{root}'")
        with contextlib.suppress(DataError):
            for arguments in self._arguments().values():
                self._open(root, arguments)
            return "cache"
        with alone(cache, report), _quiet():
            report(f"torchvision {self.name}", 0, 0)
            for arguments in self._arguments().values():
                try:
                    root.mkdir(parents=True, exist_ok=True)
                    self._class()(root, download=True, **arguments)
                except FOREIGN as error:
                    said = one_line(error)
                    raise DataError(f"cannot get {self.name}; torchvision: {said}") from None
        return "torchvision"

    def parts(self) -> Collection[Split]:
        """Return the parts; see `weightcast.tasks.torchvision.stores.Store`."""
        return self._arguments().keys()

    def load(self, cache: Path, part: Split) -> Labelled:
        """Return a part; see `weightcast.tasks.torchvision.stores.Store`."""
        data = self._open(self._root(cache), self._arguments()[part])
        return OnDisk(data, labels_of(data))

    def _open(self, root: Path, arguments: Mapping[str, Any]) -> Any:
        try:
            return self._class()(root, **arguments)
        except ImportError as error:
            raise DataError(f"{self.name} cannot be read: {one_line(error)}") from None
        except FOREIGN as error:
            said = one_line(error)
            raise DataError(
                f"{self.name} is not in the cache; `client data torchvision` fetches it ({said})"
            ) from None

    def _arguments(self) -> dict[Split, Mapping[str, Any]]:
        found: dict[Split, Mapping[str, Any]] = {"train": self.entry.train, "test": self.entry.test}
        if self.entry.validation is not None:
            found["validation"] = self.entry.validation
        return found

    def _root(self, cache: Path) -> Path:
        return cache / "torchvision" / self.name

    def _class(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.name)


def labels_of(data: Any) -> npt.NDArray[np.int64]:
    """Return the classes of a data set of torchvision, without reading a picture."""
    for name in ("targets", "labels", "_labels"):
        if hasattr(data, name):
            return np.asarray(getattr(data, name), np.int64)
    pairs = data.samples if hasattr(data, "samples") else data._samples
    return np.array([label for _, label in pairs], np.int64)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torchvision from drawing bars, and from waiting for ever, which it has no option for."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(READ_TIMEOUT_S)
    nowhere = io.StringIO()
    try:
        with contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
            yield
    finally:
        socket.setdefaulttimeout(before)
