"""Decoder `clipped`: what arrived, limited to the range of what can have been sent."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.arrays import LARGEST
from weightcast.channels.base import State
from weightcast.decoding.base import Prior, Values
from weightcast.errors import ParameterError


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipped:
    r"""The symbol that arrived, limited to the range of what can have been sent.

    :math:`\hat x = \max(-l, \min(l, y))`. With the limit 1 each weight stays in the span of its
    class and so keeps its sign. For a symbol whose prior is uniform on [-1, 1] this is the
    maximum-likelihood estimate under Gaussian noise.

    Args:
        limit: at least 1, which leaves all symbols that are sent as they are.

    Source: Kay, *Fundamentals of Statistical Signal Processing: Estimation Theory*, 1993, section
    7.3: the likelihood of a mean under Gaussian noise falls with the distance from what was seen,
    so that over an interval it is largest at the nearest point.

    >>> import numpy as np
    >>> Clipped().estimate(np.array([-1.5, 0.5]), None, Prior()).tolist()
    [-1.0, 0.5]
    """

    name: ClassVar[str] = "clipped"
    uses_state: ClassVar[bool] = False
    scope: ClassVar[None] = None

    limit: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LARGEST:
            raise ParameterError(f"limit must be at least 1 and finite, got {self.limit}")

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        """Return ``y``, limited to [-limit, limit]."""
        return np.clip(y, -self.limit, self.limit)
