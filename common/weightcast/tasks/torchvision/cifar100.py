"""CIFAR-100 from its binary archive: torchvision's class would unpickle the Python one.

Source: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weightcast.datasets.base import Fetching, Split
from weightcast.datasets.cache import alone, scratch_folder
from weightcast.datasets.containers import read_files
from weightcast.datasets.downloads import download
from weightcast.datasets.sources import BROKEN, one_line
from weightcast.errors import DataError
from weightcast.tasks.torchvision.pictures import InMemory, Labelled

OFFICIAL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"

MD5 = "03b5dce01913d631647c71ecec9e9cb8"
"""Of the official archive, published at www.cs.toronto.edu/~kriz/cifar.html."""

_RECORD = 2 + 3 * 32 * 32
"""A coarse label, a fine label, colour planes of 32 x 32."""


@dataclass(frozen=True, slots=True)
class Cifar100:
    """The archive as it was published, in the cache; its MD5 is checked whenever it is read."""

    md5: str = MD5

    def fetch(self, cache: Path, report: Fetching, archive: Path | None) -> str:
        """Put the archive into the cache; see `weightcast.tasks.base.Task.fetch`."""
        place = self._place(cache)
        if place.is_file() and _md5(place) == self.md5:
            return "cache"
        name = "official archive" if archive is None else str(archive)
        with alone(cache, report):
            try:
                with scratch_folder(cache) as scratch:
                    new = scratch / place.name
                    if archive is None:
                        download(OFFICIAL, new, report)
                    else:
                        shutil.copyfile(archive, new)
                    self._check(new)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    new.replace(place)
            except BROKEN as error:
                raise DataError(f"cannot get CIFAR-100; {name}: {one_line(error)}") from None
        return name

    def parts(self) -> Collection[Split]:
        """Return the parts; see `weightcast.tasks.torchvision.stores.Store`."""
        return ("train", "test")

    def load(self, cache: Path, part: Split) -> Labelled:
        """Return a part; see `weightcast.tasks.torchvision.stores.Store`."""
        place = self._place(cache)
        if not place.is_file():
            raise DataError("CIFAR-100 is not in the cache; `client data torchvision` fetches it")
        self._check(place)
        files = read_files(place, lambda name: name if name == f"{part}.bin" else None)
        raw = np.frombuffer(files.get(f"{part}.bin", b""), np.uint8)
        if not len(raw) or len(raw) % _RECORD:
            raise DataError(f"{part}.bin of CIFAR-100 is not records of {_RECORD} bytes")
        records = raw.reshape(-1, _RECORD)
        images = records[:, 2:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return InMemory(np.ascontiguousarray(images), records[:, 1].astype(np.int64))

    def _place(self, cache: Path) -> Path:
        return cache / "torchvision" / "CIFAR100" / "cifar-100-binary.tar.gz"

    def _check(self, path: Path) -> None:
        found = _md5(path)
        if found != self.md5:
            raise DataError(
                f"'{path.name}' has the MD5 {found}, expected {self.md5} of the binary version"
            )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
