"""Channel `erasures`: noise, and blocks of symbols that are lost."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.arrays import Symbols
from weightcast.channels.awgn import MAX_STD
from weightcast.channels.base import State
from weightcast.channels.fading.blocks import MAX_BLOCK, blocks_of, faded
from weightcast.errors import ParameterError
from weightcast.measure import capacity as limits
from weightcast.noise.gaussian import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasures:
    r"""White Gaussian noise, and blocks of symbols of which nothing but noise arrives.

    :math:`y_k = g_b x_k + z_k` with :math:`g_b = 0` with the probability given, else 1.

    Args:
        std: standard deviation of the noise per real symbol, in symbol units.
        probability: that a block is lost, 0 .. 1, 1 excluded.
        block: symbols that are lost together: 1, or the length of a burst.

    Source: Cover & Thomas, *Elements of Information Theory*, 2nd ed., section 7.1.5: a receiver
    that knows what was lost has 1 - probability times the capacity.

    >>> Erasures(std=0.0, probability=0.5).capacity()
    inf
    """

    name: ClassVar[str] = "erasures"
    is_clean: ClassVar[bool] = False

    std: float
    probability: float = 0.01
    block: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.std <= MAX_STD:
            raise ParameterError(f"std must be in 0 .. {MAX_STD:g}, got {self.std}")
        if not 0 <= self.probability < 1:
            raise ParameterError(
                f"probability must be in 0 .. 1, 1 excluded, got {self.probability}"
            )
        if not 1 <= self.block <= MAX_BLOCK:
            raise ParameterError(f"block must be in 1 .. 2**40, got {self.block}")

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Set the symbols of lost blocks to 0 and add noise to all."""
        return faded(symbols, at, self.state(at, len(symbols), noise), noise)

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return the gain 0 for symbols that are lost, 1 for others, and the std."""
        index = blocks_of(at, n, self.block, 1)
        if not n:
            return State(np.zeros(0), self.std)
        first = int(index[0])
        drawn = noise.branch("erasures").uniform(first, int(index[-1]) - first + 1)
        gains = (drawn >= self.probability).astype(np.float64)
        return State(gains[index - first], self.std)

    def capacity(self) -> float:
        """Return the capacity for a receiver that knows which blocks are lost."""
        return (1 - self.probability) * limits.capacity(self.std)
