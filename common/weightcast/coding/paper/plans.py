"""What the four schemes of the paper plan: the span of the weights, in one or two classes."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from weightcast.arrays import LARGEST, WeightSource, blocks, refuse_non_finite
from weightcast.errors import ParameterError, WeightsError

MAX_REPETITIONS = 1000
Span = tuple[float, float]
LARGE_FRACTION = 6998 / 11_164_352
"""Isik, caption of table 1: N_large over the number of weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangePlan:
    """One class of weights (or magnitudes) in ``[low, high]``, mapped onto [-1, 1].

    Args:
        n_weights: number of weights, at least 1.
        low, high: the extremes, in units of the weights.
    """

    n_weights: int
    low: float
    high: float

    def __post_init__(self) -> None:
        _check_plan(self.n_weights, low=self.low, high=self.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassPlan:
    """Small magnitudes in ``[low, threshold]`` and large ones in ``[threshold, high]``.

    Args:
        n_weights: number of weights, at least 1.
        n_large: number of large weights, 0 .. n_weights.
        low, threshold, high: smallest, n_large-th largest and largest magnitude.
        last_tie: of the weights whose magnitude equals the threshold, those with an index up to
            this one are large; -1 if none is. (Weights stored in 16 bits have many equals.)
    """

    n_weights: int
    n_large: int
    low: float
    threshold: float
    high: float
    last_tie: int

    def __post_init__(self) -> None:
        _check_plan(self.n_weights, low=self.low, threshold=self.threshold, high=self.high)
        if not 0 <= self.n_large <= self.n_weights:
            raise ParameterError(f"n_large must be in 0 .. {self.n_weights}, got {self.n_large}")
        if not -1 <= self.last_tie < self.n_weights:
            last = self.n_weights - 1
            raise ParameterError(f"last_tie must be in -1 .. {last}, got {self.last_tie}")

    @property
    def spans(self) -> tuple[Span, Span]:
        """(low, high) of the small and of the large class."""
        return (self.low, self.threshold), (self.threshold, self.high)


def _check_plan(n_weights: int, **ordered: float) -> None:
    if n_weights < 1:
        raise ParameterError(f"n_weights must be at least 1, got {n_weights}")
    for name, value in ordered.items():
        if not abs(value) <= LARGEST:
            raise ParameterError(f"{name} must be finite in float32, got {value}")
    names, values = list(ordered), list(ordered.values())
    for i in range(1, len(values)):
        if values[i] < values[i - 1]:
            raise ParameterError(
                f"{names[i]} must be at least {names[i - 1]} = {values[i - 1]}, got {values[i]}"
            )


def plan_range(weights: WeightSource, *, magnitudes: bool) -> RangePlan:
    """Return the extremes of the weights, or of their magnitudes, in one pass."""
    if not len(weights):
        raise WeightsError("there are no weights to send")
    low, high = math.inf, -math.inf
    for at, block in blocks(weights):
        refuse_non_finite(block, at, weights)
        values = np.abs(block) if magnitudes else block
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return RangePlan(n_weights=len(weights), low=low, high=high)


def plan_classes(weights: WeightSource, n_large: int | None, large_fraction: float) -> ClassPlan:
    """Split the weights by magnitude: the ``n_large`` largest, and the rest.

    The threshold is found exactly in O(1) memory: magnitudes are counted by the upper 16 of their
    bits, then, within the class that holds the threshold, by the lower 16.

    Args:
        weights: the source, read four times at most.
        n_large: size of the large class; None: the nearest integer to large_fraction * n_weights.
        large_fraction: share of the large class, 0 .. 1.
    """
    whole = plan_range(weights, magnitudes=True)
    n = whole.n_weights
    n_large = round(large_fraction * n) if n_large is None else n_large
    if n_large > n:
        raise ParameterError(f"n_large must be at most the number of weights {n}, got {n_large}")
    if n_large == 0:
        threshold, last_tie = whole.high, -1
    else:
        upper, above = _find(weights, n_large, 16, 0)
        lower, above = _find(weights, n_large, 0, upper, above)
        bits = np.array([upper << 16 | lower], np.uint32)
        threshold = float(bits.view(np.float32)[0])
        last_tie = _index_of_tie(weights, threshold, n_large - above)
    return ClassPlan(
        n_weights=n,
        n_large=n_large,
        low=whole.low,
        threshold=threshold,
        high=whole.high,
        last_tie=last_tie,
    )


def _find(
    weights: WeightSource, n_large: int, shift: int, prefix: int, above: int = 0
) -> tuple[int, int]:
    """Return the 16-bit digit of the n_large-th largest magnitude, and how many are above it."""
    counts = np.zeros(1 << 16, np.int64)
    for _, block in blocks(weights):
        kernels().count_into(counts, block, shift, prefix)
    at_least = above + np.cumsum(counts[::-1])[::-1]
    digit = int(np.flatnonzero(at_least >= n_large)[-1])
    return digit, int(at_least[digit] - counts[digit])


def _index_of_tie(weights: WeightSource, threshold: float, n: int) -> int:
    """Return the index of the n-th weight whose magnitude equals the threshold."""
    for at, block in blocks(weights):
        ties = np.flatnonzero(np.abs(block) == np.float32(threshold))
        if len(ties) >= n:
            return at + int(ties[n - 1])
        n -= len(ties)
    raise WeightsError("the weights changed while they were read")


def check_repetitions(**repetitions: int) -> None:
    """Raise a `ParameterError` unless every number is in 1 .. `MAX_REPETITIONS`."""
    for name, r in repetitions.items():
        if not 1 <= r <= MAX_REPETITIONS:
            raise ParameterError(f"{name} must be in 1 .. {MAX_REPETITIONS}, got {r}")


def check_share(n_large: int | None, large_fraction: float) -> None:
    """Raise a `ParameterError` unless the size of the large class makes sense."""
    if n_large is not None and n_large < 0:
        raise ParameterError(f"n_large must be at least 0, got {n_large}")
    if not 0 <= large_fraction <= 1:
        raise ParameterError(f"large_fraction must be in 0 .. 1, got {large_fraction}")


@lru_cache(maxsize=1)
def kernels() -> Any:
    """Import the kernels at their first use: numba takes a quarter of a second."""
    from weightcast.coding import kernels as compiled

    return compiled
