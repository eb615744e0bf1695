"""Scheme `unprotected`: every weight as it is."""

from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Bits, Symbols, Weights, WeightSource
from weightcast.coding.base import Sent
from weightcast.coding.mapping import RangePlan, check_limit, decode_block, encode_block, plan_range


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprotected:
    r"""One symbol per weight: its value, mapped onto [-1, 1].

    :math:`x = \alpha w - \beta` with :math:`\alpha = 2 / (w_{max} - w_{min})` and
    :math:`\beta = \alpha (w_{max} + w_{min}) / 2`. The receiver takes
    :math:`(y + \beta) / \alpha`. No side information.

    Args:
        limit: the receiver limits what it received to [-limit, limit]; at least 1, which keeps each
            weight between the extremes. None: no limit, as in the paper's equation 1.

    Source: Isik, *Robust Coding Strategies for Neural Network Weights*, section 3, equation 1.

    >>> import numpy as np
    >>> w = np.array([-1.0, 0.5, 3.0], np.float32)
    >>> scheme = Unprotected()
    >>> plan = scheme.plan(w)
    >>> scheme.encode(plan, w, 0).symbols.tolist()
    [-1.0, -0.25, 1.0]
    """

    plan_type: ClassVar[type[RangePlan]] = RangePlan
    side_names: ClassVar[tuple[str, ...]] = ()

    limit: float | None = None

    def __post_init__(self) -> None:
        check_limit(self.limit)

    def plan(self, weights: WeightSource) -> RangePlan:
        """Return the extremes of the weights."""
        return plan_range(weights, magnitudes=False)

    def n_symbols(self, plan: RangePlan) -> int:
        """Return one symbol per weight."""
        return plan.n_weights

    def encode(self, plan: RangePlan, block: Weights, at: int) -> Sent:
        """Map [min, max] onto [-1, 1]."""
        return encode_block(block, at, magnitudes=False, small=(plan.low, plan.high))

    def symbols_of(self, plan: RangePlan, n: int, side: dict[str, Bits]) -> int:
        """Return ``n``."""
        return n

    def decode(self, plan: RangePlan, symbols: Symbols, n: int, side: dict[str, Bits]) -> Weights:
        """Map [-1, 1] back onto [min, max]."""
        return decode_block(symbols, n, side, small=(plan.low, plan.high), limit=self.limit)
