r"""Capacity of the real AWGN channel whose input is limited to [-1, 1].

Smith, "The information capacity of amplitude- and variance-constrained scalar Gaussian channels",
Information and Control 18, 1971: the best input is discrete, so that the capacity is found by
optimising the weights of mass points. Three ranges of the noise:

* std >= 0.6: two equal masses at -1 and 1 are optimal (Sharma & Shamai, "Transition points in the
  capacity-achieving distribution for the peak-power limited AWGN", 2010: up to amplitude 1.666).
* 0.02 <= std < 0.6: Blahut and Arimoto's iteration on a grid of inputs. It ends when its lower
  bound I and upper bound max D are less than 0.001 bit apart; the middle is returned.
* std < 0.02: the upper bound of McKellips, "Simple tight bounds on capacity for the peak-limited
  discrete-time channel", ISIT 2004, which is less than 0.002 bit too high there.
"""

import math
from functools import lru_cache

import numpy as np

from weightcast.errors import ParameterError

_GAP_BITS = 0.001
_BPSK_FROM = 0.6
_GRID_FROM = 0.02


@lru_cache(maxsize=1024)
def capacity(std: float) -> float:
    """Return the capacity in bits per real use.

    Args:
        std: standard deviation of the noise per real symbol, at least 0; 0 gives infinity.

    Raises:
        ParameterError: std is negative or not finite.

    >>> round(capacity(0.1), 2)
    2.54
    """
    if not 0 <= std < math.inf:
        raise ParameterError(f"std must be finite and at least 0, got {std}")
    if std == 0:
        return math.inf
    if std >= _BPSK_FROM:
        return bpsk_capacity(std)
    if std < _GRID_FROM:
        return mckellips_bound(std)
    lower, upper = capacity_bounds(std)
    return (lower + upper) / 2


def mckellips_bound(std: float) -> float:
    r"""Return McKellips's upper bound in bits per use.

    :math:`\min\{\log_2(1 + 2/(\sqrt{2 \pi e}\,\sigma)), \frac12 \log_2(1 + 1/\sigma^2)\}`.
    """
    density = math.log1p(2 / (math.sqrt(2 * math.pi * math.e) * std))
    power = math.log1p(1 / std / std) / 2
    return min(density, power) / math.log(2)


def bpsk_capacity(std: float) -> float:
    r"""Return the capacity in bits per use with equally likely inputs -1 and 1.

    :math:`(1/\sigma^2 - E \ln\cosh(1/\sigma^2 + z/\sigma)) / \ln 2`, z standard normal: Cover &
    Thomas, *Elements of Information Theory*, 2nd ed., chapter 9, as an integral without
    cancellation.
    """
    z = np.linspace(-10, 10, 20_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    argument = np.abs(1 / std / std + z / std)
    small = argument < 1e-2
    series = argument**2 / 2 - argument**4 / 12
    exact = argument + np.log1p(np.exp(-2 * argument)) - math.log(2)
    mean = float(np.sum(density * np.where(small, series, exact)) * (z[1] - z[0]))
    return (1 / std / std - mean) / math.log(2)


def capacity_bounds(std: float) -> tuple[float, float]:
    """Return a lower and an upper bound of the capacity in bits per use, at most 0.001 apart.

    The lower one is the mutual information of an input on a grid of [-1, 1]; the upper one the
    largest divergence between the output of any grid point and the whole output (Blahut,
    "Computation of channel capacity and rate-distortion functions", IEEE Trans. IT, 1972).
    """
    n_inputs = max(41, math.ceil(8 / std)) | 1
    x = np.linspace(-1, 1, n_inputs)
    reach = 1 + 8 * std
    y = np.linspace(-reach, reach, max(400, math.ceil(16 * reach / std)))
    step = y[1] - y[0]
    given = np.exp(-((y - x[:, None]) ** 2) / (2 * std**2)) / (std * math.sqrt(2 * math.pi))
    noise_entropy = 0.5 * math.log(2 * math.pi * math.e * std**2)
    p = np.full(n_inputs, 1 / n_inputs)
    while True:
        output = np.maximum(p @ given, 1e-300)
        divergence = -(given @ np.log(output)) * step - noise_entropy
        lower, upper = float(p @ divergence), float(divergence.max())
        if upper - lower < _GAP_BITS * math.log(2):
            return lower / math.log(2), upper / math.log(2)
        p = p * np.exp(divergence - upper)
        p /= p.sum()
