"""Decoder `inversion`: what arrived is what was sent."""

import math
from dataclasses import dataclass
from typing import ClassVar

from weightcast.channels.base import State
from weightcast.decoding.base import Prior, Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Inversion:
    r"""The symbol that arrived, taken as it is.

    :math:`\hat x = y`. A magnitude may come out below zero, which turns its sign.

    Source: Isik, *Robust Coding Strategies for Neural Network Weights*, section 3, equation 1.

    >>> import numpy as np
    >>> Inversion().estimate(np.array([-1.5, 0.5]), None, Prior()).tolist()
    [-1.5, 0.5]
    """

    name: ClassVar[str] = "inversion"
    uses_state: ClassVar[bool] = False
    scope: ClassVar[None] = None

    @property
    def limit(self) -> float:
        """Infinity."""
        return math.inf

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        """Return ``y``."""
        return y
