"""Where the pictures of the data sets lie, and how they get there."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from weightcast.datasets.base import Fetching, Split
from weightcast.datasets.sources import PinnedArrays
from weightcast.paths import expanded
from weightcast.tasks.cifar10 import data as cifar10
from weightcast.tasks.mnist import data as mnist
from weightcast.tasks.torchvision.catalogue import entry_of
from weightcast.tasks.torchvision.cifar100 import Cifar100
from weightcast.tasks.torchvision.downloaded import Downloaded
from weightcast.tasks.torchvision.folders import Folder
from weightcast.tasks.torchvision.pictures import InMemory, Labelled


class Store(Protocol):
    """The pictures of one data set."""

    def fetch(self, cache: Path, report: Fetching, archive: Path | None) -> str:
        """Put them into the cache; see `weightcast.tasks.base.Task.fetch`."""
        ...

    def parts(self) -> Collection[Split]:
        """Return the parts that are kept apart; without `validation`, it is cut off `train`."""
        ...

    def load(self, cache: Path, part: Split) -> Labelled:
        """Return one of its parts.

        Raises:
            DataError: it is not there, or not what it claims to be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Pinned:
    """Arrays that a task of their own keeps."""

    arrays: PinnedArrays
    get: Callable[[Path, Fetching, Path | None], str]

    def fetch(self, cache: Path, report: Fetching, archive: Path | None) -> str:
        """Put them into the cache; see `Store`."""
        return self.get(cache, report, archive)

    def parts(self) -> Collection[Split]:
        """Return the parts; see `Store`."""
        return ("train", "test")

    def load(self, cache: Path, part: Split) -> Labelled:
        """Return a part; see `Store`."""
        images, labels = (
            self.arrays.load(cache, f"{part}-{what}") for what in ("images", "labels")
        )
        return InMemory(images, labels.astype(np.int64))


def store_of(data: str, folder: str | None) -> Store:
    """Return the store of a data set of the catalogue."""
    match data:
        case "ImageFolder":
            return Folder(expanded(Path(folder or "")))
        case "MNIST":
            return Pinned(mnist.ARRAYS, mnist.fetch)
        case "CIFAR10":
            return Pinned(cifar10.ARRAYS, cifar10.fetch)
        case "CIFAR100":
            return Cifar100()
    return Downloaded(data, entry_of(data))
