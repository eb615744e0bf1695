"""Posterior means: the estimates of least squared error for weights of a known law.

What arrived of a magnitude is :math:`m + \\sigma z` in units of the weights, z standard normal. The
prior of the weight has the root mean square s that the sender measured on its tensor or filter.
What does not depend on the law stands here; the laws are in the modules of the decoders.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from weightcast.channels.base import State
from weightcast.decoding.base import Prior, Values
from weightcast.errors import ParameterError

Law = Callable[[Values, Values, Values], Values]
"""From (what arrived, its noise level, scale), all in units of the weights, to the mean."""

ERASED = 1e6
"""Noise level of what was erased, in units of the scale."""


def posterior_mean(
    y: Values, state: State | None, prior: Prior, magnitude: Law, value: Law
) -> Values:
    """Return estimates of symbols, shape (n,) in and out.

    Symbols of the class of large magnitudes are limited to their range instead.

    Args:
        y: what arrived; repetitions are combined already, and their gains taken out.
        state: of the channel, for each y: gain 1, or 0 where nothing arrived.
        prior: with scales.
        magnitude: the mean of magnitudes.
        value: the mean of weights with their signs.

    Raises:
        ParameterError: there is no state, or there are no scales.
    """
    if state is None or prior.scale is None:
        raise ParameterError("this decoder needs the state of the channel and scales of weights")
    half = np.broadcast_to(np.float64(prior.half), y.shape)
    scale = prior.scale
    found = prior.centre + half * y
    noise = np.broadcast_to(half * state.std, y.shape)
    noise = np.where(np.broadcast_to(state.gain, y.shape) == 0, ERASED * scale, noise)
    is_open = (scale > 0) & (noise > 0) & (half > 0)
    law = magnitude if prior.is_magnitude else value
    safe = np.where(is_open, noise, 1.0), np.where(is_open, scale, 1.0)
    mean = np.where(is_open, law(found, *safe), np.where(scale > 0, found, 0.0))
    estimate = np.where(half > 0, (mean - prior.centre) / np.where(half > 0, half, 1.0), 0.0)
    limited: Values = np.clip(y, prior.low, prior.high)
    return np.where(prior.is_large, limited, estimate)


def normal_mean(m: Values, sigma: Values, s: Values) -> Values:
    r"""Return the mean of a normal weight, :math:`m s^2 / (s^2 + \sigma^2)`; a `Law`.

    Source: Kay, *Fundamentals of Statistical Signal Processing: Estimation Theory*, 1993, theorem
    10.2.
    """
    return m * (s * s / (s * s + sigma * sigma))


def truncated(mean: Values, std: Values) -> Values:
    r"""Return the mean of a normal variable that is known to be positive, shape (n,).

    :math:`\mu + \sigma\, \varphi(\mu / \sigma) / \Phi(\mu / \sigma)`

    Args:
        mean, std: of the variable before that is known.

    Source: Johnson, Kotz & Balakrishnan, *Continuous Univariate Distributions*, vol. 1, 2nd ed.,
    section 10.1.
    """
    return np.maximum(mean + std * inverse_mills(mean / std), 0.0)


def inverse_mills(x: Values) -> Values:
    r"""Return :math:`\varphi(x) / \Phi(x)`, shape (n,) in and out, right for any x.

    >>> inverse_mills(np.array([0.0, -50.0])).round(4).tolist()
    [0.7979, 50.02]
    """
    out = np.empty(x.shape)
    _kernel()(out, np.ascontiguousarray(x))
    return out


@lru_cache(maxsize=1)
def _kernel() -> Any:
    """Import the kernel at its first use: numba takes a quarter of a second."""
    from weightcast.decoding.kernels import inverse_mills_into

    return inverse_mills_into
