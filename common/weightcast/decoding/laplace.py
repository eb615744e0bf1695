"""Decoder `laplace`: the posterior mean of weights whose law is Laplace's."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.channels.base import State
from weightcast.decoding.base import Prior, Scope, Values
from weightcast.decoding.posterior import inverse_mills, posterior_mean, truncated


@dataclass(frozen=True, slots=True, kw_only=True)
class Laplace:
    r"""The mean of a weight of a Laplace law, given what arrived.

    A magnitude is exponential with the mean :math:`b = s / \sqrt 2`. Given what arrived m with the
    noise level :math:`\sigma` it is normal with the mean :math:`m - \sigma^2 / b`, known to be
    positive. Where signs are not sent apart the two signs are weighed by their probability.

    Args:
        scope: what shares a scale: `filter` or `tensor`. The scales are sent, 8 bits each.

    Source: Hansen & Yu, "Wavelet thresholding via MDL for natural images", IEEE Trans. IT 46, 2000,
    appendix; known to be positive, see `weightcast.decoding.posterior.truncated`.

    >>> prior = Prior(scale=np.array([2**0.5]), is_magnitude=True)
    >>> Laplace().estimate(np.array([1.0]), State(1.0, 1.0), prior).round(4).tolist()
    [0.7979]
    """

    name: ClassVar[str] = "laplace"
    uses_state: ClassVar[bool] = True
    limit: ClassVar[None] = None

    scope: Scope = "tensor"

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        """Return the posterior mean."""
        return posterior_mean(y, state, prior, _magnitude, _value)


def _magnitude(m: Values, sigma: Values, s: Values) -> Values:
    return truncated(m - np.sqrt(2.0) * sigma * sigma / s, sigma)


def _value(m: Values, sigma: Values, s: Values) -> Values:
    shift = np.sqrt(2.0) * sigma / s
    above, below = m / sigma - shift, -m / sigma - shift
    # The masses of the two signs are as the inverses of their Mills' ratios: the rest cancels out.
    plus, minus = inverse_mills(above), inverse_mills(below)
    found: Values = sigma * (minus * (above + plus) - plus * (below + minus)) / (plus + minus)
    return found
