"""Samples in memory, and which samples are in which split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Labelled pictures in memory.

    Args:
        images: uint8, shape (n, height, width, channels) or (n, height, width).
        labels: int64, shape (n,).
        normalise: turns k images into float32, shape (k, channels, height, width).
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    normalise: Callable[[npt.NDArray[np.uint8]], Tensor]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.labels)

    def inputs(self, chosen: Indices) -> Tensor:
        """Return the chosen pictures, shape (k,), as a network takes them."""
        return self.normalise(self.images[chosen])


def generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """Return the generator of one purpose in one epoch, independent of all others.

    Any epoch can so be done again, in any process, without the epochs before it.
    """
    import torch

    text = f"{seed} {epoch} {purpose}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])
    return torch.Generator().manual_seed(key)


def split(n: int, n_validation: int) -> tuple[Indices, Indices]:
    """Return the sorted indices of the training and of the validation samples among n.

    The validation samples are the first of a fixed permutation: the same for every seed, setting
    and recipe, and a smaller validation set is part of a larger one.
    """
    import torch

    chosen = torch.randperm(n, generator=generator(0, 0, "validation"))[:n_validation].numpy()
    is_validation = np.zeros(n, bool)
    is_validation[chosen] = True
    return np.flatnonzero(~is_validation), np.flatnonzero(is_validation)
