"""What a channel is."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from weightcast.arrays import Symbols
from weightcast.noise.gaussian import Noise

PerSymbol = float | npt.NDArray[np.float64]
"""One number for all symbols, or shape (n,)."""


@dataclass(frozen=True, slots=True)
class State:
    """What a channel does to symbols: :math:`y_k = g_k x_k + z_k`, z_k of zero mean.

    Args:
        gain: :math:`g_k`; 0 where a symbol is erased.
        std: standard deviation of :math:`z_k`, in symbol units.
    """

    gain: PerSymbol
    std: PerSymbol


class Channel(Protocol):
    """A noise model: a frozen dataclass of physical parameters."""

    name: ClassVar[str]

    is_clean: ClassVar[bool]
    """Whether symbols pass unchanged whatever the params, so that no link is needed."""

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Return what arrives of the symbols ``at .. at + n - 1``, shape (n,) in and out.

        A pure function of its arguments: however a transmission is cut into pieces, each symbol
        meets the same noise.
        """
        ...

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return gain and noise level of the symbols ``at .. at + n - 1``.

        What `transmit` does with the same arguments: a receiver that knows it has perfect channel
        state information.
        """
        ...

    def capacity(self) -> float:
        """Return the capacity in bits per use for real inputs in [-1, 1]; may be infinite."""
        ...
