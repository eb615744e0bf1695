"""A scheme of one's own: each tensor mapped from its own span onto [-1, 1]."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from weightcast.coding import Sent, tensor_pieces
from weightcast.decoding import Prior
from weightcast.models.tensors import Tensor


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Smallest and largest weight of each tensor, which the receiver must know."""

    n_weights: int
    tensors: tuple[Tensor, ...]  # what both ends know: is not sent
    low: npt.NDArray[np.float32]  # arrays travel in the side information, and are charged
    high: npt.NDArray[np.float32]

    def mapping(self, at, n):
        """Return centre and half of the span of each weight of a block, shape (n,)."""
        centre, half = np.empty(n), np.empty(n)
        for i, piece in tensor_pieces(self.tensors, at, n):
            centre[piece] = (self.low[i] + self.high[i]) / 2
            half[piece] = (self.high[i] - self.low[i]) / 2 or 1
        return centre, half


@dataclass(frozen=True, kw_only=True)
class TensorRange:
    """One symbol per weight: its value, mapped from the span of its tensor onto [-1, 1]."""

    name: ClassVar[str] = "tensor-range"
    plan_type: ClassVar[type] = Spans
    side_names: ClassVar[tuple[str, ...]] = ()

    def plan(self, weights, tensors, channel):
        """Look at each tensor once."""
        ends = np.cumsum([tensor.n_values for tensor in tensors])
        each = [weights[end - t.n_values : end] for t, end in zip(tensors, ends, strict=True)]
        low, high = (np.array([f(w) for w in each], np.float32) for f in (np.min, np.max))
        return Spans(n_weights=len(weights), tensors=tuple(tensors), low=low, high=high)

    def n_symbols(self, plan):
        """One per weight."""
        return plan.n_weights

    def encode(self, plan, at, block):
        """Map the spans onto [-1, 1]."""
        centre, half = plan.mapping(at, len(block))
        return Sent(np.clip((block - centre) / half, -1, 1).astype(np.float32), {})

    def symbols_of(self, plan, at, n, side):
        """One per weight."""
        return n

    def decode(self, plan, at, n, arrived, side, decoder):
        """Map [-1, 1] back onto the spans."""
        centre, half = plan.mapping(at, n)
        y = decoder.estimate(arrived.symbols.astype(np.float64), arrived.state, Prior())
        return (centre + half * y).astype(np.float32)
