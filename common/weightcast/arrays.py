"""The two array types that cross module borders."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

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
    """Return floats of any width and byte order as a flat float32 array, copied where needed.

    Raises:
        WeightsError: other numbers than floats, or one that float32 cannot hold.
    """
    if values.dtype.kind != "f":
        raise WeightsError(f"weights must be floats, got an array of {values.dtype}")
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    if values.dtype.itemsize > 4:
        refuse_non_finite(found)
    return found


@runtime_checkable
class Placing(Protocol):
    """Weights that know which tensor each of them is in, as a model does."""

    def place(self, index: int) -> tuple[str, tuple[int, ...]]:
        """Return the name of the tensor of a weight, and the weight's index within it."""
        ...


def refuse_non_finite(weights: Weights, at: int = 0, source: object = None) -> None:
    """Raise a `WeightsError` that names the first weight which is nan or infinite.

    Args:
        weights: shape (n,).
        at: index of ``weights[0]`` in the model, for the message.
        source: where they are from; one that is `Placing` names the tensor.
    """
    finite = np.isfinite(weights)
    if finite.all():
        return
    first = int(np.argmin(finite))
    where = f"weight {at + first}"
    if isinstance(source, Placing):
        name, index = source.place(at + first)
        short = name if len(name) <= 80 else f"{name[:79]}…"
        where = f"tensor {short!r} at {list(index)}"
    raise WeightsError(f"{where} is {weights[first]}; weights must be finite")


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
