"""What a channel is."""

from typing import ClassVar, Protocol

from weightcast.arrays import Symbols
from weightcast.randomness import Noise


class Channel(Protocol):
    """A noise model: a frozen dataclass of physical parameters."""

    is_clean: ClassVar[bool]
    """Whether symbols pass unchanged whatever the params, so that no link is needed."""

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Return what arrives of the symbols ``at .. at + n - 1``, shape (n,) in and out.

        A pure function of its arguments: however a transmission is cut into pieces, each symbol
        meets the same noise.
        """
        ...

    def capacity(self) -> float:
        """Return the capacity in bits per use for real inputs in [-1, 1]; may be infinite."""
        ...
