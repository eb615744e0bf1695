"""The two array types that cross module borders."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from weightcast.errors import WeightsError

Weights = npt.NDArray[np.float32]
"""Conv and linear weights of one model, flat, in layout order."""

Symbols = npt.NDArray[np.float32]
"""Real symbols in [-1, 1], one per channel use."""

Bits = npt.NDArray[np.uint8]
"""Packed bits, eight per byte, least significant first."""


def as_weights(values: npt.NDArray[Any]) -> Weights:
    """Return ``values`` as a flat, contiguous float32 array without copying where possible."""
    return np.ascontiguousarray(values, dtype=np.float32).reshape(-1)


def refuse_non_finite(weights: Weights, at: int = 0) -> None:
    """Raise a `WeightsError` that names the first weight which is nan or infinite.

    Args:
        weights: shape (n,).
        at: index of ``weights[0]`` in the model, for the message.
    """
    finite = np.isfinite(weights)
    if not finite.all():
        first = int(np.argmin(finite))
        raise WeightsError(f"weight {at + first} is {weights[first]}; weights must be finite")


class WeightSource(Protocol):
    """Weights read by slices: a float32 array, or a model file that need not fit in memory."""

    def __len__(self) -> int:
        """Return the number of weights."""
        ...

    def __getitem__(self, index: slice, /) -> Weights:
        """Return the weights of a slice with step 1, shape (stop - start,)."""
        ...


BLOCK = 1 << 17
"""Weights per block: small enough to stay in the cache, a multiple of the 8 bits of a byte."""


GROUP = 64
"""Weights per word of packed bits; the kernels take so many at a time."""

LARGEST = float(np.finfo(np.float32).max)
"""The largest float32."""


def blocks(weights: WeightSource, size: int = BLOCK) -> Iterator[tuple[int, Weights]]:
    """Yield (index of the first weight, block) through the whole source.

    >>> [(at, len(block)) for at, block in blocks(np.zeros(20, np.float32), size=8)]
    [(0, 8), (8, 8), (16, 4)]
    """
    for at in range(0, len(weights), size):
        yield at, weights[at : at + size]
