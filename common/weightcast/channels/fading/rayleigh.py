"""Channel `rayleigh`: fading without a line of sight."""

from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Symbols
from weightcast.channels.base import State
from weightcast.channels.fading.blocks import blocks_of, check, ergodic_capacity, faded, rice
from weightcast.noise.gaussian import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Rayleigh:
    r"""Rayleigh block fading and noise, with the phase known: real gains.

    :math:`y_k = g_b x_k + z_k` with one gain per block b, :math:`g_b` the size of a complex normal
    variable, :math:`E[g^2] = 1`.

    Args:
        std: standard deviation of the noise per real symbol, in symbol units.
        block: symbols that meet the same gain.
        depth: blocks that are interleaved, so that neighbours meet different gains; 1: none.

    Source: Tse & Viswanath, *Fundamentals of Wireless Communication*, sections 2.4.2 and 5.4.5.

    >>> Rayleigh(std=0.1, block=2).state(0, 4, Noise(seed=1)).gain.shape
    (4,)
    """

    name: ClassVar[str] = "rayleigh"
    is_clean: ClassVar[bool] = False

    std: float
    block: int = 1000
    depth: int = 1

    def __post_init__(self) -> None:
        check(std=self.std, block=self.block, depth=self.depth)

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Multiply each symbol by the gain of its block and add noise."""
        return faded(symbols, at, self.state(at, len(symbols), noise), noise)

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return the gain of each symbol's block, and the std."""
        index = blocks_of(at, n, self.block, self.depth)
        return State(rice(index, noise.branch("fading"), 0.0), self.std)

    def capacity(self) -> float:
        """Return the ergodic capacity for a receiver that knows the gains."""
        return ergodic_capacity(self.std, 0.0)
