"""A task of one's own: ten clouds of points, and a small network that tells them apart."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.errors import DataError

CLASSES, DIMENSIONS, N = 10, 16, {"train": 4000, "validation": 500, "test": 1000}


class Points:
    """Points with their clouds."""

    def __init__(self, inputs, labels):
        self.labels, self._inputs = labels, inputs

    def __len__(self):
        return len(self.labels)

    def inputs(self, chosen):
        """What the network takes: float32, shape (k, 16)."""
        import torch

        return torch.from_numpy(self._inputs[chosen])


@dataclass(frozen=True, kw_only=True)
class Clouds:
    """Points around ten centres, told apart by a network with one hidden layer."""

    name: ClassVar[str] = "clouds"

    hidden: int = 64
    spread: float = 0.9

    def network(self):
        """A new network with random weights."""
        from torch import nn

        return nn.Sequential(
            nn.Linear(DIMENSIONS, self.hidden), nn.ReLU(), nn.Linear(self.hidden, CLASSES)
        )

    def size(self, split):
        """Samples of a split."""
        return N[split]

    def fetch(self, cache, report, archive=None):
        """Nothing to fetch: the points are made."""
        if archive is not None:
            raise DataError("the points of 'clouds' are made, not read from an archive")
        return "made"

    def samples(self, cache, split, n=None):
        """The first points of a split; each split has a seed of its own."""
        chance = np.random.Generator(np.random.Philox(list(N).index(split)))
        centres = np.random.Generator(np.random.Philox(99)).normal(0, 1, (CLASSES, DIMENSIONS))
        labels = chance.integers(0, CLASSES, N[split])
        points = centres[labels] + chance.normal(0, self.spread, (N[split], DIMENSIONS))
        return Points(points.astype(np.float32)[:n], labels[:n])

    def score(self, network, samples, report=lambda done, total: None, arithmetic=None):
        """Share of the points whose cloud is told right, by weightcast's own evaluation."""
        from weightcast.evaluation.accuracy import accuracy

        return accuracy(network, samples, report, arithmetic)
