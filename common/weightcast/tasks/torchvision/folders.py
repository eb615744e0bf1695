"""A folder of one's own with a folder of pictures per class."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weightcast.datasets.base import Fetching, Split
from weightcast.datasets.sources import FOREIGN, one_line
from weightcast.errors import DataError
from weightcast.tasks.torchvision.pictures import Labelled, OnDisk

VALIDATION = ("val", "validation", "valid")


@dataclass(frozen=True, slots=True)
class Folder:
    """Pictures in `PART/CLASS/`, or in `CLASS/`, where all of them are test pictures.

    The parts are `train`, and `test` or `val` or both. Without `test`, `val` has the test pictures,
    and the validation pictures are some of those in `train`. Classes count in alphabetical order.
    """

    path: Path

    def fetch(self, cache: Path, report: Fetching, archive: Path | None) -> str:
        """Look whether the folder is there; nothing is copied."""
        if archive is not None:
            raise DataError("ImageFolder takes its pictures from `folder`, not from an archive")
        for part in self._roots():
            self.load(cache, part)
        return str(self.path)

    def parts(self) -> Collection[Split]:
        """Return the parts; see `weightcast.tasks.torchvision.stores.Store`."""
        return self._roots().keys()

    def load(self, cache: Path, part: Split) -> Labelled:
        """Return a part; see `weightcast.tasks.torchvision.stores.Store`."""
        from torchvision import datasets

        roots = self._roots()
        if part not in roots:
            raise DataError(f"'{self.path}' has no folder `train`, only test pictures")
        found, known = _classes(roots[part]), self.classes()
        if found != known:
            unlike = ", ".join(sorted({*found} ^ {*known}))
            raise DataError(f"'{roots[part]}' has not the classes of '{self.path}/train': {unlike}")
        try:
            data = datasets.ImageFolder(str(roots[part]))
        except FOREIGN as error:
            raise DataError(f"'{roots[part]}' cannot be read: {one_line(error)}") from None
        return OnDisk(data, np.asarray(data.targets, np.int64))

    def classes(self) -> list[str]:
        """Return the names of the classes.

        Raises:
            DataError: there is no such folder, or no folder in it.
        """
        roots = self._roots()
        return _classes(roots.get("train", roots["test"]))

    def _roots(self) -> dict[Split, Path]:
        """Return the folders of the parts that there are."""
        held_back = next((name for name in VALIDATION if (self.path / name).is_dir()), None)
        has_test = (self.path / "test").is_dir()
        if not (self.path / "train").is_dir() or not (has_test or held_back):
            return {"test": self.path}
        roots: dict[Split, Path] = {"train": self.path / "train"}
        if has_test:
            roots["test"] = self.path / "test"
        if held_back:
            roots["validation" if has_test else "test"] = self.path / held_back
        return roots


def _classes(folder: Path) -> list[str]:
    try:
        found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise DataError(f"'{folder}' cannot be read: {error.strerror}") from None
    if not found:
        raise DataError(f"'{folder}' has no folders, one per class")
    return found
