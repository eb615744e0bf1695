"""What a task is: what accuracy means for a model.

Importing this module does not import torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from weightcast.datasets.base import Fetching, Report, Samples, Split
from weightcast.evaluation.score import Score

if TYPE_CHECKING:
    from torch import nn


class Task(Protocol):
    """A network, samples, and how well the one does on the other: a frozen dataclass of params."""

    name: ClassVar[str]

    def network(self) -> nn.Module:
        """Return a new network, with random weights, on torch's default device."""
        ...

    def size(self, split: Split) -> int | None:
        """Return the number of samples of a split; None where only the data themselves tell."""
        ...

    def fetch(self, cache: Path, report: Fetching, archive: Path | None = None) -> str:
        """Put the data into the cache, unless they are there, and verify them.

        Args:
            cache: folder of data sets.
            report: is told how far it is.
            archive: file to take them from; None: from the sources that are known.

        Returns:
            Where they came from: `cache`, or the name of a source.

        Raises:
            DataError: no source could give them; says what each of them said.
        """
        ...

    def samples(self, cache: Path, split: Split, n: int | None = None) -> Samples:
        """Return the first ``n`` samples of a split, or all, from the cache.

        Raises:
            DataError: they are not in the cache, or not what they claim to be.
        """
        ...

    def score(
        self,
        network: nn.Module,
        samples: Samples,
        report: Report = lambda done, total: None,
        arithmetic: str | None = None,
    ) -> Score:
        """Return how well a network with float32 parameters in evaluation mode does on samples.

        Args:
            network: may be changed by this.
            samples: from `samples`.
            report: is told how far it is.
            arithmetic: as in `Score`; None takes the best the machine has.
        """
        ...
