"""Channel `rician`: fading with a line of sight."""

from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Symbols
from weightcast.channels.base import State
from weightcast.channels.fading.blocks import blocks_of, check, ergodic_capacity, faded, rice
from weightcast.errors import ParameterError
from weightcast.noise.gaussian import Noise

MAX_FACTOR = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rician:
    r"""Rician block fading and noise, with the phase known: real gains.

    As `rayleigh`, but a part of the power comes on a straight line: :math:`E[g^2] = 1` with K parts
    of K + 1 steady.

    Args:
        std: standard deviation of the noise per real symbol, in symbol units.
        factor: K, power of the line of sight over that of what is scattered, 0 .. 100.
        block: symbols that meet the same gain.
        depth: blocks that are interleaved, so that neighbours meet different gains; 1: none.

    Source: Tse & Viswanath, *Fundamentals of Wireless Communication*, section 2.4.2.

    >>> Rician(std=0.1, factor=100.0).state(0, 1, Noise(seed=1)).gain.round(1).tolist()
    [1.0]
    """

    name: ClassVar[str] = "rician"
    is_clean: ClassVar[bool] = False

    std: float
    factor: float = 3.0
    block: int = 1000
    depth: int = 1

    def __post_init__(self) -> None:
        check(std=self.std, block=self.block, depth=self.depth)
        if not 0 <= self.factor <= MAX_FACTOR:
            raise ParameterError(f"factor must be in 0 .. {MAX_FACTOR:g}, got {self.factor}")

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Multiply each symbol by the gain of its block and add noise."""
        return faded(symbols, at, self.state(at, len(symbols), noise), noise)

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return the gain of each symbol's block, and the std."""
        index = blocks_of(at, n, self.block, self.depth)
        return State(rice(index, noise.branch("fading"), self.factor), self.std)

    def capacity(self) -> float:
        """Return the ergodic capacity for a receiver that knows the gains."""
        return ergodic_capacity(self.std, self.factor)
