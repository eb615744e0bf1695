"""Scheme `adaptive-redundancy`: adaptive mapping, and several uses for each large weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Bits, Weights, WeightSource
from weightcast.channels import Channel
from weightcast.coding.base import Arrived, Sent
from weightcast.coding.mapping import count_bits, decode_block, encode_block
from weightcast.coding.paper.plans import (
    LARGE_FRACTION,
    ClassPlan,
    check_repetitions,
    check_share,
    plan_classes,
)
from weightcast.coding.scales import scale_of_each
from weightcast.decoding import Decoder
from weightcast.models.tensors import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveRedundancy:
    r"""Adaptive mapping where a weight takes as many uses of the channel as its class deserves.

    A small weight is sent ``r_small`` times, a large one ``r_large`` times, one right after the
    other; the receiver averages. Uses per weight are :math:`(r_s N_s + r_l N_l) / N`, 1.00564 with
    the defaults on ResNet-18.

    Args:
        n_large: weights in the large class; None takes ``large_fraction`` of them.
        large_fraction: share of the weights in the large class, 0 .. 1. The default is the paper's
            6,998 of the 11,164,352 weights of ResNet-18.
        r_small: uses per small weight, 1 .. 1000.
        r_large: uses per large weight, 1 .. 1000; the paper's 10.

    Source: Isik, *Robust Coding Strategies for Neural Network Weights*, section 3.1, "adaptive
    redundancy"; the numbers from the caption of table 1.

    >>> import numpy as np
    >>> from weightcast.channels.awgn import AWGN
    >>> w = np.array([0.0, -1.0, 2.0, 10.0], np.float32)
    >>> scheme = AdaptiveRedundancy(n_large=2, r_large=3)
    >>> scheme.encode(scheme.plan(w, (), AWGN(std=0.1)), 0, w).symbols.tolist()
    [-1.0, 0.0, -1.0, -1.0, -1.0, 1.0, 1.0, 1.0]
    """

    name: ClassVar[str] = "adaptive-redundancy"
    plan_type: ClassVar[type[ClassPlan]] = ClassPlan
    side_names: ClassVar[tuple[str, ...]] = ("signs", "classes")

    n_large: int | None = None
    large_fraction: float = LARGE_FRACTION
    r_small: int = 1
    r_large: int = 10

    def __post_init__(self) -> None:
        check_share(self.n_large, self.large_fraction)
        check_repetitions(r_small=self.r_small, r_large=self.r_large)

    def plan(self, weights: WeightSource, tensors: Sequence[Tensor], channel: Channel) -> ClassPlan:
        """Return the extremes and the threshold of the magnitudes."""
        return plan_classes(weights, self.n_large, self.large_fraction)

    def n_symbols(self, plan: ClassPlan) -> int:
        """Return ``r_small`` or ``r_large`` symbols per weight, summed."""
        return self._uses(plan.n_weights, plan.n_large)

    def encode(self, plan: ClassPlan, at: int, block: Weights) -> Sent:
        """Map each magnitude in its class and repeat its symbol; pack signs and classes."""
        small, large = plan.spans
        return encode_block(
            block,
            at,
            magnitudes=True,
            small=small,
            large=large,
            last_tie=plan.last_tie,
            r_small=self.r_small,
            r_large=self.r_large,
        )

    def symbols_of(self, plan: ClassPlan, at: int, n: int, side: dict[str, Bits]) -> int:
        """Return the uses of a block from the classes of its weights."""
        return self._uses(n, count_bits(side["classes"]))

    def decode(
        self,
        plan: ClassPlan,
        at: int,
        n: int,
        arrived: Arrived,
        side: dict[str, Bits],
        decoder: Decoder,
    ) -> Weights:
        """Average the repetitions and map them back onto the span of each weight's class."""
        scale = scale_of_each(plan, at, n, decoder)
        uses = self.r_small, self.r_large
        return decode_block(arrived, n, side, decoder, spans=plan.spans, uses=uses, scale=scale)

    def _uses(self, n: int, n_large: int) -> int:
        return self.r_small * (n - n_large) + self.r_large * n_large
