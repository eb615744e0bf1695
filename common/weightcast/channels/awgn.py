"""Channel `awgn`: additive white Gaussian noise."""

from dataclasses import dataclass
from typing import ClassVar

from weightcast.arrays import Symbols
from weightcast.channels.base import State
from weightcast.errors import ParameterError
from weightcast.measure import capacity as limits
from weightcast.noise.gaussian import Noise

MAX_STD = 1e6
"""Beyond this a float32 symbol is lost in its own noise many times over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AWGN:
    r"""Additive white Gaussian noise.

    :math:`y_k = x_k + z_k`, :math:`z_k \sim N(0, \sigma^2)`.

    Args:
        std: standard deviation of the noise per real symbol, in symbol units. 0 is a clean link.

    Source: Cover & Thomas, *Elements of Information Theory*, 2nd ed., section 9.1.

    >>> import numpy as np
    >>> AWGN(std=0.5).transmit(np.zeros(2, np.float32), 0, Noise(seed=1)).shape
    (2,)
    """

    name: ClassVar[str] = "awgn"
    is_clean: ClassVar[bool] = False

    std: float

    def __post_init__(self) -> None:
        if not 0 <= self.std <= MAX_STD:
            raise ParameterError(f"std must be in 0 .. {MAX_STD:g}, got {self.std}")

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Add the noise of each symbol."""
        return noise.add(symbols, at, self.std)

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return the gain 1 and the std."""
        return State(1.0, self.std)

    def capacity(self) -> float:
        """Return the capacity of the amplitude-limited channel (Smith 1971), see `limits`."""
        return limits.capacity(self.std)
