"""Decoder `lmmse`: the linear estimate of least squared error."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.channels.base import State
from weightcast.decoding.base import Prior, Scope, Values
from weightcast.decoding.posterior import normal_mean, posterior_mean

MEAN = np.sqrt(2 / np.pi)
"""Of the size of a standard normal variable (Johnson, Kotz & Balakrishnan, section 13.10.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lmmse:
    r"""What arrived, drawn to the mean of its filter by how noisy it is.

    :math:`\hat w = \mu + k (m - \mu)`, :math:`k = v / (v + \sigma^2)` with mean :math:`\mu` and
    variance v of the weights, in units of which the noise level is :math:`\sigma`. Of the scale s
    that is known they are 0 and :math:`s^2`, or for magnitudes :math:`s \sqrt{2 / \pi}` and
    :math:`s^2 (1 - 2 / \pi)`.

    Args:
        scope: what shares a scale: `filter` or `tensor`. The scales are sent, 8 bits each.

    Source: Kay, *Fundamentals of Statistical Signal Processing: Estimation Theory*, 1993, theorem
    12.1.

    >>> prior = Prior(scale=np.array([1.0]))
    >>> Lmmse().estimate(np.array([1.0]), State(1.0, 1.0), prior).tolist()
    [0.5]
    """

    name: ClassVar[str] = "lmmse"
    uses_state: ClassVar[bool] = True
    limit: ClassVar[None] = None

    scope: Scope = "filter"

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        """Return the linear estimate."""
        return posterior_mean(y, state, prior, _magnitude, normal_mean)


def _magnitude(m: Values, sigma: Values, s: Values) -> Values:
    mean, variance = MEAN * s, (1 - MEAN**2) * s * s
    found: Values = mean + (m - mean) * (variance / (variance + sigma * sigma))
    return found
