r"""What the best code could do on a real AWGN channel whose input is limited to [-1, 1].

Capacity (Smith, "The information capacity of amplitude- and variance-constrained scalar Gaussian
channels", Information and Control 18, 1971) lies between two bounds, in three ranges of the noise:

* std >= 0.6: two equal masses at -1 and 1 are optimal (Sharma & Shamai, "Transition points in the
  capacity-achieving distribution for the peak-power limited AWGN", 2010), and the bounds meet.
* 0.02 <= std < 0.6: the best weights of mass points on a grid (Blahut, "Computation of channel
  capacity and rate-distortion functions", IEEE Trans. IT 18, 1972).
* std < 0.02: an explicit input below, and the bound of McKellips above (`edge_bound`).

``docs/decisions/0002-capacity.md`` says how far apart they are.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from weightcast.errors import ParameterError
from weightcast.measure.units import decibels

_Array = npt.NDArray[np.float64]

_BPSK_FROM = 0.6
_GRID_FROM = 0.02
_NOISE_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
"""Differential entropy of a standard normal variable, in nats (Cover & Thomas, example 8.1.2)."""

_EDGE_MASS, _EDGE_GAP = 3.417, 1.581
"""Input of `edge_bound`: any values give a bound, these the highest one (by numerical search)."""

_LAPLACE_ENTROPY_POWER = math.e / math.pi
"""exp(2h) / (2 pi e) of a unit-variance Laplacian, h = ln(2e / sqrt 2): Cover & Thomas, ch. 17."""


@lru_cache(maxsize=1024)
def capacity(std: float) -> float:
    """Return the capacity in bits per real use, to within 0.0015.

    Args:
        std: standard deviation of the noise per real symbol, at least 0; 0 gives infinity.

    Raises:
        ParameterError: std is negative or not finite.

    >>> round(capacity(0.1), 3)
    2.537
    """
    lower, upper = capacity_bounds(std)
    return (lower + upper) / 2


def capacity_bounds(std: float) -> tuple[float, float]:
    """Return a lower and an upper bound of the capacity in bits per use.

    The lower one is the mutual information of an input that exists. The upper one is proven, but
    for 0.02 <= std < 0.6 only among inputs on the grid; the tests bound what lies between.
    """
    _check(std)
    if std == 0:
        return math.inf, math.inf
    if std >= _BPSK_FROM:
        return bpsk_capacity(std), bpsk_capacity(std)
    if std < _GRID_FROM:
        return edge_bound(std), mckellips_bound(std)
    _, p, divergence = best_input(std)
    return float(p @ divergence) / math.log(2), float(divergence.max()) / math.log(2)


def mckellips_bound(std: float) -> float:
    r"""Return an upper bound of the capacity in bits per use, for every std > 0.

    :math:`\min\{\log_2(1 + 2/(\sqrt{2 \pi e}\,\sigma)), \frac12 \log_2(1 + 1/\sigma^2)\}`:
    McKellips, "Simple tight bounds on capacity for the peak-limited discrete-time channel", 2004.
    """
    density = math.log1p(2 / std / math.sqrt(2 * math.pi * math.e))
    power = math.log1p(1 / std / std) / 2
    return min(density, power) / math.log(2)


def edge_bound(std: float) -> float:
    r"""Return a lower bound of the capacity in bits per use, for 0 < std < 0.02.

    It is the mutual information of an input with density 1/N (lengths in units of std) except near
    each end, where everything nearer than 1.581 gathers in a mass of 3.417/N at the end. With
    :math:`g(y) = 3.417 \varphi(y) + \Phi(y - 1.581)` at an end and 1 in between, the output density
    is g/N, so that :math:`h(Y) - h(Z) = \ln N - \frac2N \int g \ln g - \frac12 \ln 2 \pi e`.
    It is 0.145 std below `mckellips_bound`.
    """
    total = 2 / std + 2 * (_EDGE_MASS - _EDGE_GAP)
    return (math.log(total) - 2 * _edge_integral() / total - _NOISE_ENTROPY) / math.log(2)


@lru_cache(maxsize=1)
def _edge_integral() -> float:
    """Return the integral of g ln g at one end; beyond the limits g ln g is below 1e-20."""
    y = np.linspace(-10, 12, 2201)
    below = np.array([math.erfc((_EDGE_GAP - u) / math.sqrt(2)) / 2 for u in y.tolist()])
    g = _EDGE_MASS * np.exp(-y * y / 2) / math.sqrt(2 * math.pi) + below
    return float(np.sum(g * np.log(g)) * (y[1] - y[0]))


def bpsk_capacity(std: float) -> float:
    r"""Return the capacity in bits per use with equally likely inputs -1 and 1.

    :math:`(1/\sigma^2 - E \ln\cosh(1/\sigma^2 + z/\sigma)) / \ln 2`, z standard normal: Cover &
    Thomas, *Elements of Information Theory*, 2nd ed., chapter 9, as an integral without
    cancellation in strong noise.
    """
    z = np.linspace(-10, 10, 20_001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    argument = np.abs(1 / std / std + z / std)
    small = argument < 1e-2
    series = argument**2 / 2 - argument**4 / 12
    exact = argument + np.log1p(np.exp(-2 * argument)) - math.log(2)
    mean = float(np.sum(density * np.where(small, series, exact)) * (z[1] - z[0]))
    return (1 / std / std - mean) / math.log(2)


def best_input(std: float) -> tuple[_Array, _Array, _Array]:
    """Return the best symmetric input on a grid that is denser near the peak, 0.02 <= std.

    Returns:
        Points x in [0, 1], shape (n,); probabilities of the pairs -x and x, shape (n,); divergence
        in nats between the output given each pair and the whole output, shape (n,).
    """
    x = np.sin(np.linspace(0, math.pi / 2, max(40, math.ceil(2 / std)) + 1))
    y = np.linspace(0, 1 + 8 * std, math.ceil(2 * (1 + 8 * std) / std))
    width = np.full(len(y), 2 * y[1])
    width[0] = y[1]
    given = _both_signs(x, y, 1 / (2 * std**2)) / (std * math.sqrt(2 * math.pi))

    def slope_and_curvature(p: _Array) -> tuple[_Array, _Array]:
        output = p @ given
        return (given * width) @ np.log(output), (given * (width / output)) @ given.T

    p, slope = _minimise(slope_and_curvature, len(x), gap=1e-5)
    return x, p, -slope - _NOISE_ENTROPY - math.log(std)


@lru_cache(maxsize=1024)
def opta_sdr_db(std: float) -> float:
    r"""Return the best signal-to-distortion ratio in dB for Laplacian weights at one use each.

    It solves R(D) = C for the mean square error D. From 1.5 bits on, R is Shannon's lower bound,
    :math:`R = \frac12 \log_2(e / (\pi D))` for unit variance, which is 0.004 dB too optimistic
    there and less above; below, R is computed as in Blahut 1972, to 0.02 dB for std <= 2.

    >>> round(opta_sdr_db(0.1), 1)
    15.9
    """
    rate = capacity(std) * math.log(2)
    if math.isinf(rate):
        return math.inf
    if rate >= 1.5 * math.log(2):
        return decibels(math.e) * 2 * rate - decibels(_LAPLACE_ENTROPY_POWER)
    return -decibels(_laplacian_distortion(rate))


def _laplacian_distortion(rate: float) -> float:
    """Return the least mean square error of a unit-variance Laplacian at ``rate`` nats.

    For every slope s, D >= (-E ln Z - ln max c - rate) / s (Blahut 1972, theorem 6); the greatest
    bound of a few slopes is returned, each time closer to the one at which R is ``rate``.
    """
    nodes, weights = np.polynomial.legendre.leggauss(60)
    x = 7 * (nodes + 1)
    source = weights * np.exp(-math.sqrt(2) * x)
    source /= source.sum()
    s = math.exp(2 * rate) / (2 * _LAPLACE_ENTROPY_POWER)
    best = 0.0
    for _ in range(5):
        kernel = _both_signs(x, x, s)

        def slope_and_curvature(q: _Array, kernel: _Array = kernel) -> tuple[_Array, _Array]:
            ratio = kernel / (kernel @ q)[:, None]
            return -(source @ ratio), (ratio.T * source) @ ratio

        q, slope = _minimise(slope_and_curvature, len(x), gap=1e-4)
        log_z = float(source @ np.log(kernel @ q))
        best = max(best, (-log_z - math.log(-slope.min()) - rate) / s)
        nearby = _both_signs(x, x, s * (1 + 1e-6))
        distortion = (log_z - float(source @ np.log(nearby @ q))) / (s * 1e-6)
        s *= math.exp(3 * (rate + log_z + s * distortion))
    return min(best, 1.0)


def _both_signs(x: _Array, y: _Array, s: float) -> _Array:
    """Return exp(-s (x - y)^2), averaged over x and -x, shape (len(x), len(y))."""
    sums, differences = x[:, None] + y, x[:, None] - y
    return (np.exp(-s * sums**2) + np.exp(-s * differences**2)) / 2


def _minimise(
    slope_and_curvature: Callable[[_Array], tuple[_Array, _Array]], n: int, gap: float
) -> tuple[_Array, _Array]:
    """Return the probabilities that minimise a convex function, and its slope there, shape (n,).

    Newton's method with a logarithmic barrier t (Boyd & Vandenberghe, *Convex Optimization*,
    section 11.3), in units of the probabilities. The function is at most p.slope - min(slope) above
    its minimum, whenever the iteration ends; 12 to 16 steps make that less than ``gap``.
    """
    p, barrier = np.full(n, 1 / n), 1 / n
    slope, curvature = slope_and_curvature(p)
    for _ in range(60):
        if p @ slope - slope.min() < gap:
            break
        barrier = max(0.4 * barrier, gap / n / 4)
        matrix = p[:, None] * curvature * p + barrier * np.eye(n)
        free, held = np.linalg.solve(matrix, np.stack([barrier - p * slope, p], axis=1)).T
        step = free - held * (p @ free) / (p @ held)
        p = p * (1 + min(1.0, 0.9 / max(1e-9, -step.min())) * step)
        p /= p.sum()
        slope, curvature = slope_and_curvature(p)
    return p, slope


def _check(std: float) -> None:
    if not 0 <= std < math.inf:
        raise ParameterError(f"std must be finite and at least 0, got {std}")
