"""Channel `noiseless`: what is sent arrives."""

import math
from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Symbols
from weightcast.channels.base import State
from weightcast.noise.gaussian import Noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Noiseless:
    """A perfect link, for checks.

    :math:`y_k = x_k`.

    Source: Cover & Thomas, *Elements of Information Theory*, 2nd ed., section 7.1.1.
    """

    name: ClassVar[str] = "noiseless"
    is_clean: ClassVar[bool] = True

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Return a copy of the symbols."""
        return symbols.copy()

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return the gain 1 and no noise."""
        return State(1.0, 0.0)

    def capacity(self) -> float:
        """Return infinity: a real number carries any number of bits."""
        return math.inf
