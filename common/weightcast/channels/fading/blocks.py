"""Blocks: what all channels with block fading share."""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from weightcast.arrays import Symbols
from weightcast.channels.awgn import MAX_STD
from weightcast.channels.base import State
from weightcast.errors import ParameterError
from weightcast.measure.capacity import capacity
from weightcast.noise.gaussian import Noise

Gains = npt.NDArray[np.float64]

MAX_BLOCK = 1 << 40
N_NODES = 96
"""Of the quadrature over the gain; twice as many change no capacity by 1e-4 bit."""
FARTHEST = 7.0
"""Where the quadrature ends, above 1 in standard deviations of a scattered part: a Rayleigh gain is
larger with a probability of 4e-16."""


def check(*, std: float, block: int, depth: int) -> None:
    """Raise a `ParameterError` unless these are params of a channel with block fading."""
    if not 0 <= std <= MAX_STD:
        raise ParameterError(f"std must be in 0 .. {MAX_STD:g}, got {std}")
    if not 1 <= block <= MAX_BLOCK:
        raise ParameterError(f"block must be in 1 .. 2**40, got {block}")
    if not 1 <= depth <= MAX_BLOCK // block:
        raise ParameterError(f"depth times block must be in 1 .. 2**40, got {depth} x {block}")


def blocks_of(at: int, n: int, block: int, depth: int) -> npt.NDArray[np.int64]:
    """Return the block of each of the symbols ``at .. at + n - 1``, shape (n,).

    Without an interleaver (depth 1) a block holds neighbours. A block interleaver of this depth
    writes ``depth`` blocks as the columns of a table and sends its rows, so that neighbours are in
    different blocks.

    Args:
        at: index of the first symbol.
        n: number of symbols.
        block: symbols that meet the same gain.
        depth: blocks that are interleaved.

    Source: Proakis & Salehi, *Digital Communications*, 5th ed., section 7.12.

    >>> blocks_of(0, 8, block=2, depth=1).tolist()
    [0, 0, 1, 1, 2, 2, 3, 3]
    >>> blocks_of(0, 8, block=2, depth=2).tolist()
    [0, 1, 0, 1, 2, 3, 2, 3]
    """
    k = np.arange(at, at + n, dtype=np.int64)
    table = k // (block * depth)
    return table * depth + k % depth if depth > 1 else table


def rice(index: npt.NDArray[np.int64], noise: Noise, factor: float) -> Gains:
    r"""Return the gain of each block, shape (n,): the size of a complex normal with a mean.

    .. math:: g = \left| \sqrt{\tfrac{K}{K + 1}} + \tfrac{z_1 + i z_2}{\sqrt{2 (K + 1)}} \right|

    so that E[g^2] = 1.

    Args:
        index: of the blocks, not falling, shape (n,).
        noise: the gains are drawn from it, two numbers a block.
        factor: K, power of the line of sight over that of what is scattered; 0: Rayleigh.

    Source: Proakis & Salehi, *Digital Communications*, 5th ed., section 13.1.
    """
    if not len(index):
        return np.zeros(0)
    first = int(index.min())
    n = int(index.max()) - first + 1
    z = noise.normal(2 * first, 2 * n).astype(np.float64).reshape(n, 2)
    steady = np.sqrt(factor / (factor + 1))
    scattered = np.sqrt(0.5 / (factor + 1))
    gains: Gains = np.sqrt((steady + scattered * z[:, 0]) ** 2 + (scattered * z[:, 1]) ** 2)
    return gains[index - first]


def faded(symbols: Symbols, at: int, state: State, noise: Noise) -> Symbols:
    """Return the symbols times their gains with noise of one std added."""
    received = (state.gain * symbols).astype(np.float32)
    return noise.branch("noise").add(received, at, float(np.max(state.std)))


@lru_cache(maxsize=256)
def ergodic_capacity(std: float, factor: float) -> float:
    r"""Return E[C(std / g)] in bits per use, over the gain g: the receiver knows it, no one else.

    Args:
        std: of the noise.
        factor: K of `rice`.

    Source: Tse & Viswanath, *Fundamentals of Wireless Communication*, section 5.4.5, with the
    capacity for inputs in [-1, 1] in place of that for an average power.
    """
    if std == 0:
        return np.inf
    nodes, weights = np.polynomial.legendre.leggauss(N_NODES)
    half = largest_gain(factor) / 2
    gains = half * (nodes + 1)
    share = half * weights * rice_density(gains, factor)
    return float(share @ np.array([capacity(std / g) for g in gains]))


def largest_gain(factor: float) -> float:
    """Return a gain that `rice` does not exceed, but with a probability below 1e-11."""
    return 1 + FARTHEST / math.sqrt(2 * (factor + 1))


def rice_density(gains: Gains, factor: float) -> Gains:
    r"""Return the density of `rice`'s gains, shape (n,) in and out.

    .. math:: p(g) = 2 g (K + 1) e^{-K - (K + 1) g^2} I_0(2 g \sqrt{K (K + 1)})

    Source: Proakis & Salehi, *Digital Communications*, 5th ed., equation 2.3-56.
    """
    bessel: Callable[[Gains], Gains] = np.i0
    inner = 2 * gains * np.sqrt(factor * (factor + 1))
    # The exponents together: each alone leaves the range of a float.
    lead = np.exp(inner - factor - (factor + 1) * gains**2)
    density: Gains = 2 * gains * (factor + 1) * lead * (bessel(inner) * np.exp(-inner))
    return density
