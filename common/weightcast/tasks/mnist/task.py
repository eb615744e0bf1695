"""The task `mnist`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from weightcast.datasets.base import Fetching, Report, Samples, Split
from weightcast.datasets.samples import Pictures
from weightcast.datasets.sources import Bytes
from weightcast.evaluation.score import Score
from weightcast.registry import lookup
from weightcast.tasks.mnist import data
from weightcast.tasks.mnist.networks import NETWORKS

if TYPE_CHECKING:
    from torch import Tensor, nn

MEAN, STD = 0.1307, 0.3081
"""Mean and standard deviation of the training images, with pixels in 0 .. 1."""

N_VALIDATION = 5_000
"""Held back from the 60,000 training images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mnist:
    """MNIST by a small network: 10 classes, grey, 28 x 28 pixels.

    Args:
        model: `mlp`, a perceptron with one hidden layer of 100, or `cnn`, three convolutions.
    """

    name: ClassVar[str] = "mnist"
    model: str = "mlp"

    def __post_init__(self) -> None:
        lookup(NETWORKS, self.model, "model of mnist")

    def network(self) -> nn.Module:
        """Return a new network."""
        return NETWORKS[self.model]()

    def size(self, split: Split) -> int:
        """Return the number of samples of a split."""
        n_train = data.N_TRAIN - N_VALIDATION
        return {"train": n_train, "validation": N_VALIDATION, "test": data.N_TEST}[split]

    def fetch(self, cache: Path, report: Fetching, archive: Path | None = None) -> str:
        """Put MNIST into the cache; see `weightcast.tasks.mnist.data.fetch`."""
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
    """Return the first ``n`` images of a split, or all, uint8, (n, 28, 28), and their labels.

    Raises:
        DataError: they are not in the cache, or not what they claim to be.
    """
    return data.ARRAYS.load_split(cache, part, N_VALIDATION, n)


def normalised(images: Bytes) -> Tensor:
    """Turn uint8 images (n, 28, 28) into float32 inputs (n, 1, 28, 28)."""
    import torch

    return ((torch.from_numpy(images).float() / 255 - MEAN) / STD)[:, None]
