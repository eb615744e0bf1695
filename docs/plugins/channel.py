"""A channel of one's own: Gaussian noise with bursts, as a neighbour's transmitter makes them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.channels import State
from weightcast.errors import ParameterError
from weightcast.measure import capacity as limits


@dataclass(frozen=True, kw_only=True)
class Bursts:
    """Noise of one std, and of another one in a share of all symbols, each on its own."""

    name: ClassVar[str] = "bursts"
    is_clean: ClassVar[bool] = False

    std: float
    burst_std: float = 1.0
    share: float = 0.01

    def __post_init__(self):
        if not 0 <= self.share <= 1:
            raise ParameterError(f"share must be in 0 .. 1, got {self.share}")

    def state(self, at, n, noise):
        """Which symbols are hit is drawn from a branch of the noise of its own."""
        # For two normal numbers exp(-(z1^2 + z2^2) / 2) is uniform on 0 .. 1.
        z1, z2 = (noise.branch(name).normal(at, n).astype(float) for name in ("first", "second"))
        is_hit = np.exp(-(z1**2 + z2**2) / 2) < self.share
        return State(1.0, np.where(is_hit, self.burst_std, self.std))

    def transmit(self, symbols, at, noise):
        """Add noise of the state's level."""
        state = self.state(at, len(symbols), noise)
        z = noise.branch("noise").normal(at, len(symbols))
        return (symbols + state.std * z).astype(np.float32)

    def capacity(self):
        """The mean over both levels: what a receiver that knows of each burst could reach."""
        quiet, loud = limits.capacity(self.std), limits.capacity(self.burst_std)
        return (1 - self.share) * quiet + self.share * loud
