"""Scheme `adaptive-mapping`: small and large magnitudes each on a scale of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Bits, Weights, WeightSource
from weightcast.channels import Channel
from weightcast.coding.base import Arrived, Sent
from weightcast.coding.mapping import decode_block, encode_block
from weightcast.coding.paper.plans import LARGE_FRACTION, ClassPlan, check_share, plan_classes
from weightcast.coding.scales import scale_of_each
from weightcast.decoding import Decoder
from weightcast.models.tensors import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveMapping:
    r"""Sign protection with two classes of magnitudes, each mapped onto [-1, 1].

    The threshold :math:`\tau` is the ``n_large``-th largest magnitude. The small class spans
    :math:`[\min|w|, \tau]`, the large class :math:`[\tau, \max|w|]`. A bit per weight tells
    which class it is in.

    Args:
        n_large: weights in the large class; None takes ``large_fraction`` of them.
        large_fraction: share of the weights in the large class, 0 .. 1. The default is the paper's
            6,998 of the 11,164,352 weights of ResNet-18.

    Source: Isik, *Robust Coding Strategies for Neural Network Weights*, section 3.1, "adaptive
    mapping".

    >>> import numpy as np
    >>> from weightcast.channels.awgn import AWGN
    >>> w = np.array([0.0, -1.0, 2.0, 10.0], np.float32)
    >>> scheme = AdaptiveMapping(n_large=1)
    >>> scheme.encode(scheme.plan(w, (), AWGN(std=0.1)), 0, w).symbols.tolist()
    [-1.0, -0.800000011920929, -0.6000000238418579, 0.0]
    """

    name: ClassVar[str] = "adaptive-mapping"
    plan_type: ClassVar[type[ClassPlan]] = ClassPlan
    side_names: ClassVar[tuple[str, ...]] = ("signs", "classes")

    n_large: int | None = None
    large_fraction: float = LARGE_FRACTION

    def __post_init__(self) -> None:
        check_share(self.n_large, self.large_fraction)

    def plan(self, weights: WeightSource, tensors: Sequence[Tensor], channel: Channel) -> ClassPlan:
        """Return the extremes and the threshold of the magnitudes."""
        return plan_classes(weights, self.n_large, self.large_fraction)

    def n_symbols(self, plan: ClassPlan) -> int:
        """Return one symbol per weight."""
        return plan.n_weights

    def encode(self, plan: ClassPlan, at: int, block: Weights) -> Sent:
        """Map each magnitude in its class; pack signs and classes."""
        small, large = plan.spans
        return encode_block(
            block, at, magnitudes=True, small=small, large=large, last_tie=plan.last_tie
        )

    def symbols_of(self, plan: ClassPlan, at: int, n: int, side: dict[str, Bits]) -> int:
        """Return ``n``."""
        return n

    def decode(
        self,
        plan: ClassPlan,
        at: int,
        n: int,
        arrived: Arrived,
        side: dict[str, Bits],
        decoder: Decoder,
    ) -> Weights:
        """Map [-1, 1] back onto the span of each weight's class."""
        scale = scale_of_each(plan, at, n, decoder)
        return decode_block(arrived, n, side, decoder, spans=plan.spans, scale=scale)
