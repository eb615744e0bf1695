"""The two array types that cross module borders."""

from typing import Any

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
