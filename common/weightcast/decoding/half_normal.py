"""Decoder `half-normal`: the posterior mean of weights that are normal within their filter."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.channels.base import State
from weightcast.decoding.base import Prior, Scope, Values
from weightcast.decoding.posterior import normal_mean, posterior_mean, truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfNormal:
    r"""The mean of a weight, normal with the root mean square of its filter, given what arrived.

    A magnitude is half-normal with the scale s. With what arrived m, its noise level
    :math:`\sigma` in units of the weights, :math:`k = s^2 / (s^2 + \sigma^2)`, :math:`\mu = k m`
    and :math:`t = \sigma \sqrt k` the estimate is :math:`\mu + t\, \varphi(\mu / t) / \Phi(\mu /
    t)`; where signs are not sent apart, :math:`\mu`. Needs re-estimated batch norm to be of use.

    Args:
        scope: what shares a scale: `filter` or `tensor`. The scales are sent, 8 bits each.

    Source: the posterior of a normal variable, Kay, *Fundamentals of Statistical Signal
    Processing: Estimation Theory*, 1993, theorem 10.2; known to be positive, see
    `weightcast.decoding.posterior.truncated`.

    >>> prior = Prior(scale=np.array([1.0]), is_magnitude=True)
    >>> HalfNormal().estimate(np.array([0.0]), State(1.0, 1.0), prior).round(4).tolist()
    [0.5642]
    """

    name: ClassVar[str] = "half-normal"
    uses_state: ClassVar[bool] = True
    limit: ClassVar[None] = None

    scope: Scope = "filter"

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        """Return the posterior mean."""
        return posterior_mean(y, state, prior, _magnitude, normal_mean)


def _magnitude(m: Values, sigma: Values, s: Values) -> Values:
    k = s * s / (s * s + sigma * sigma)
    return truncated(k * m, sigma * np.sqrt(k))
