"""Scheme `unprotected`: every weight as it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Bits, Weights, WeightSource
from weightcast.channels import Channel
from weightcast.coding.base import Arrived, Sent
from weightcast.coding.mapping import decode_block, encode_block
from weightcast.coding.paper.plans import RangePlan, plan_range
from weightcast.coding.scales import scale_of_each
from weightcast.decoding import Decoder
from weightcast.models.tensors import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Unprotected:
    r"""One symbol per weight: its value, mapped onto [-1, 1].

    :math:`x = \alpha w - \beta` with :math:`\alpha = 2 / (w_{max} - w_{min})` and
    :math:`\beta = \alpha (w_{max} + w_{min}) / 2`. The receiver takes
    :math:`(y + \beta) / \alpha`. No side information.

    Args:

    Source: Isik, *Robust Coding Strategies for Neural Network Weights*, section 3, equation 1.

    >>> import numpy as np
    >>> from weightcast.channels.awgn import AWGN
    >>> w = np.array([-1.0, 0.5, 3.0], np.float32)
    >>> scheme = Unprotected()
    >>> plan = scheme.plan(w, (), AWGN(std=0.1))
    >>> scheme.encode(plan, 0, w).symbols.tolist()
    [-1.0, -0.25, 1.0]
    """

    name: ClassVar[str] = "unprotected"
    plan_type: ClassVar[type[RangePlan]] = RangePlan
    side_names: ClassVar[tuple[str, ...]] = ()

    def plan(self, weights: WeightSource, tensors: Sequence[Tensor], channel: Channel) -> RangePlan:
        """Return the extremes of the weights."""
        return plan_range(weights, magnitudes=False)

    def n_symbols(self, plan: RangePlan) -> int:
        """Return one symbol per weight."""
        return plan.n_weights

    def encode(self, plan: RangePlan, at: int, block: Weights) -> Sent:
        """Map [min, max] onto [-1, 1]."""
        return encode_block(block, at, magnitudes=False, small=(plan.low, plan.high))

    def symbols_of(self, plan: RangePlan, at: int, n: int, side: dict[str, Bits]) -> int:
        """Return ``n``."""
        return n

    def decode(
        self,
        plan: RangePlan,
        at: int,
        n: int,
        arrived: Arrived,
        side: dict[str, Bits],
        decoder: Decoder,
    ) -> Weights:
        """Map [-1, 1] back onto [min, max]."""
        scale = scale_of_each(plan, at, n, decoder)
        spans = (plan.low, plan.high), None
        return decode_block(arrived, n, side, decoder, spans=spans, scale=scale)
