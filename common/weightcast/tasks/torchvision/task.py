"""The task `torchvision`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from weightcast.datasets.base import Fetching, Report, Samples, Split
from weightcast.datasets.samples import split as split_of
from weightcast.errors import DataError, ParameterError
from weightcast.evaluation.score import Score
from weightcast.paths import expanded
from weightcast.tasks.torchvision.catalogue import entry_of, n_validation
from weightcast.tasks.torchvision.folders import Folder
from weightcast.tasks.torchvision.networks import classifier
from weightcast.tasks.torchvision.pictures import Chosen
from weightcast.tasks.torchvision.stores import store_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Torchvision:
    """A classifier of torchvision on one of its data sets, or on a folder of pictures.

    Grey pictures are repeated in three channels. Pictures are read when they are asked for. MNIST,
    CIFAR-10 and CIFAR-100 are read here, not by torchvision, which would unpickle the last two.

    Args:
        model: a name in `torchvision.models.list_models(module=torchvision.models)`.
        data: a name in the catalogue: `FashionMNIST`, `SVHN`, `ImageFolder`, ...
        folder: of ImageFolder: see `weightcast.tasks.torchvision.folders.Folder`.
        image_size: pixels of a side, 1 .. 4096: the shorter side is scaled to it, then the middle
            square is cut out; None: as the pictures are.
        small_stem: the network starts at full resolution, for pictures of some 32 pixels.
        classes: of the network's output; None: as many as the data have.
    """

    name: ClassVar[str] = "torchvision"
    model: str
    data: str
    folder: str | None = None
    image_size: int | None = None
    small_stem: bool = False
    classes: int | None = None

    def __post_init__(self) -> None:
        entry_of(self.data)
        if (self.folder is not None) != (self.data == "ImageFolder"):
            raise ParameterError(
                f"folder belongs to ImageFolder, to it alone, got {self.folder!r} for {self.data}"
            )
        if self.image_size is not None and not 1 <= self.image_size <= 4096:
            raise ParameterError(f"image_size must be 1 .. 4096, got {self.image_size}")
        if self.classes is not None and not 1 <= self.classes <= 1_000_000:
            raise ParameterError(f"classes must be 1 .. 1000000, got {self.classes}")

    @property
    def n_classes(self) -> int:
        """Classes of the network's output.

        Raises:
            DataError: the folder that tells them is not there.
        """
        found = self.classes or entry_of(self.data).n_classes
        return found or len(Folder(expanded(Path(self.folder or ""))).classes())

    def network(self) -> nn.Module:
        """Return a new network.

        Raises:
            UnknownNameError: no classifier of that name.
            ParameterError: it cannot have this size or a small stem.
        """
        size = self.image_size or entry_of(self.data).side
        return classifier(self.model, self.n_classes, size, small_stem=self.small_stem)

    def size(self, split: Split) -> int | None:
        """Return the number of samples of a split; None where only the data themselves tell."""
        sizes = entry_of(self.data).sizes
        if sizes is None:
            return None
        n_train, n_test = sizes
        held_back = n_validation(n_train)
        return {"train": n_train - held_back, "validation": held_back, "test": n_test}[split]

    def fetch(self, cache: Path, report: Fetching, archive: Path | None = None) -> str:
        """Put the data into the cache, in `torchvision/NAME` unless another task has them too."""
        return store_of(self.data, self.folder).fetch(cache, report, archive)

    def samples(self, cache: Path, split: Split, n: int | None = None) -> Samples:
        """Return the first ``n`` samples of a split, or all.

        Raises:
            DataError: they are not in the cache or the folder, or of more classes than the network.
        """
        store = store_of(self.data, self.folder)
        parts = store.parts()
        if split == "test" or "validation" in parts:
            data = store.load(cache, split)
            indices = np.arange(len(data.labels))
        else:
            data = store.load(cache, "train")
            kept, held_back = split_of(len(data.labels), n_validation(len(data.labels)))
            indices = kept if split == "train" else held_back
        most = data.labels.max(initial=0)
        if most >= self.n_classes:
            raise DataError(f"{self.data} has a class {most}, the network {self.n_classes} classes")
        scale = entry_of(self.data).scale
        return Chosen(data=data, indices=indices[:n], size=self.image_size, scale=scale)

    def score(
        self,
        network: nn.Module,
        samples: Samples,
        report: Report = lambda done, total: None,
        arithmetic: str | None = None,
    ) -> Score:
        """Return how well a network does on samples; see `weightcast.evaluation.accuracy`."""
        from weightcast.evaluation.accuracy import accuracy

        return accuracy(network, samples, report, arithmetic)
