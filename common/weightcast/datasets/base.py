"""What a data set is: samples in splits, fetched into a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

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
