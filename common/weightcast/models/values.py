"""What a model's tensors hold: extremes and values that are not finite, read once in pieces."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from weightcast.models.files.shards import Shards
from weightcast.models.tensors import Tensor
from weightcast.models.weights import Model
from weightcast.models.widening import values_of

Number = int | float


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The values of one tensor.

    Args:
        low, high, largest: smallest and largest value, and the largest magnitude, of the finite
            values; None: there are none, or the type is packed or complex.
        n_nan, n_inf: number of values that are not finite; None: likewise.
    """

    low: Number | None
    high: Number | None
    largest: Number | None
    n_nan: int | None
    n_inf: int | None


def range_of(tensor: Tensor, shards: Shards) -> ValueRange:
    """Return what a tensor holds."""
    lows: list[Number] = []
    highs: list[Number] = []
    n_nan = n_inf = 0
    for _, raw in shards.pieces(tensor):
        values = values_of(raw, tensor.dtype)
        if values is None:
            return ValueRange(None, None, None, None, None)
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            nans = int(np.count_nonzero(np.isnan(values)))
            n_nan += nans
            n_inf += len(values) - int(np.count_nonzero(finite)) - nans
            values = values if finite.all() else values[finite]
        if len(values):
            lows.append(values.min().item())
            highs.append(values.max().item())
    if not lows:
        return ValueRange(None, None, None, n_nan, n_inf)
    low, high = min(lows), max(highs)
    return ValueRange(low, high, max(abs(low), abs(high)), n_nan, n_inf)


def ranges(model: Model) -> Iterator[tuple[Tensor, bool, ValueRange]]:
    """Yield each tensor by name, whether it is a weight, and what it holds."""
    weights = {tensor.name for tensor in model.layout.weights}
    for tensor in model.shards.tensors:
        yield tensor, tensor.name in weights, range_of(tensor, model.shards)
