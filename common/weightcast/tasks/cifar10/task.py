"""The task `cifar10`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from weightcast.datasets.base import Fetching, Report, Samples, Split
from weightcast.datasets.samples import Pictures
from weightcast.datasets.sources import Bytes
from weightcast.evaluation.score import Score
from weightcast.tasks.cifar10 import data

if TYPE_CHECKING:
    from torch import Tensor, nn

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of the training images per colour, with pixels in 0 .. 1."""

N_VALIDATION = 5_000
"""Held back from the 50,000 training images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cifar10:
    """CIFAR-10 by the ResNet-18 for small images: 10 classes, colour, 32 x 32 pixels."""

    name: ClassVar[str] = "cifar10"

    def network(self) -> nn.Module:
        """Return a new ResNet-18."""
        from weightcast.tasks.cifar10.resnet import ResNet18

        return ResNet18()

    def size(self, split: Split) -> int:
        """Return the number of samples of a split."""
        n_train = data.N_TRAIN - N_VALIDATION
        return {"train": n_train, "validation": N_VALIDATION, "test": data.N_TEST}[split]

    def fetch(self, cache: Path, report: Fetching, archive: Path | None = None) -> str:
        """Put CIFAR-10 into the cache; see `weightcast.tasks.cifar10.data.fetch`."""
        return data.fetch(cache, report, archive)

    def samples(self, cache: Path, split: Split, n: int | None = None) -> Samples:
        """Return the first ``n`` samples of a split, or all, from the cache."""
        images, labels = arrays(cache, split, n)
        return Pictures(images=images, labels=labels.astype(np.int64), normalise=normalised)

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


def arrays(cache: Path, part: Split, n: int | None = None) -> tuple[Bytes, Bytes]:
    """Return the first ``n`` images of a split, or all, uint8, (n, 32, 32, 3), and their labels.

    Raises:
        DataError: they are not in the cache, or not what they claim to be.
    """
    return data.ARRAYS.load_split(cache, part, N_VALIDATION, n)


def normalised(images: Bytes) -> Tensor:
    """Turn uint8 images (n, 32, 32, 3) into float32 inputs (n, 3, 32, 32), channels_last."""
    import torch

    return normalised_on_device(torch.from_numpy(images))


def normalised_on_device(images: Tensor) -> Tensor:
    """Turn images as for `normalised` into inputs on the device on which they are."""
    import torch

    std = torch.tensor(STD, device=images.device)
    shift = torch.tensor(MEAN, device=images.device) / std
    return (images.float() / (255 * std) - shift).permute(0, 3, 1, 2)
