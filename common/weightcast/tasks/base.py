"""What a task is: what accuracy means for a model.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor, nn

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""`train` and `validation` share no sample; `test` is for results alone."""

Report = Callable[[int, int], None]
"""Is told (samples done, all samples)."""

Fetching = Callable[[str, int, int], None]
"""Is told (what is fetched, done, total; a total of 0 is not known)."""


class Samples(Protocol):
    """Samples with their labels; pictures are read when they are asked for."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of each sample, shape (n,)."""
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def inputs(self, chosen: npt.NDArray[np.intp]) -> Tensor:
        """Return what a network takes of the chosen samples.

        Args:
            chosen: indices, shape (k,).

        Returns:
            float32, shape (k, channels, height, width), normalised.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What an evaluation found.

    Args:
        accuracy: in %.
        correct: samples whose class was predicted right.
        n_samples: samples evaluated.
        arithmetic: `bfloat16`, `float32` or `cuda-float32`.
    """

    accuracy: float
    correct: int
    n_samples: int
    arithmetic: str


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
