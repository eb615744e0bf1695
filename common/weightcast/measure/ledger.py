r"""What a transmission costs.

The paper counts analog uses of the channel only. The all-in ledger also charges what travels
error-free: side information, carried tensors and header, at the capacity C of the same channel, so
:math:`(n_{symbols} + bits / C) / n_{weights}` uses per weight.
"""

from dataclasses import dataclass

import numpy as np

from weightcast.arrays import Symbols, Weights
from weightcast.measure.units import sdr_db


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Uses and bits of one transmission.

    Args:
        n_weights, n_symbols: counts.
        side_bits: bits of each bit plane as sent, by name.
        carried_bits: bits of the carried tensors.
        header_bits: bits of the header and of the index of the side information.
        capacity: of the channel, in bits per use; infinity makes error-free bits free.
    """

    n_weights: int
    n_symbols: int
    side_bits: dict[str, int]
    carried_bits: int
    header_bits: int
    capacity: float

    @property
    def uses_per_weight(self) -> float:
        """Analog uses per weight, as the paper counts."""
        return self.n_symbols / self.n_weights

    @property
    def all_in_uses_per_weight(self) -> float:
        """Analog uses and those that the error-free bits would take."""
        return self.uses_per_weight + sum(self.extra_uses.values())

    @property
    def extra_uses(self) -> dict[str, float]:
        """Uses per weight of each kind of error-free bits at the capacity of the channel."""
        return {kind: n / self.capacity / self.n_weights for kind, n in self.bits.items()}

    @property
    def bits(self) -> dict[str, int]:
        """All error-free bits by kind."""
        return {**self.side_bits, "carried": self.carried_bits, "header": self.header_bits}


@dataclass(slots=True)
class SymbolMeter:
    """Average power and peak of the symbols that were sent."""

    n: int = 0
    energy: float = 0.0
    peak: float = 0.0

    def add(self, symbols: Symbols) -> None:
        """Count more symbols, shape (n,)."""
        if len(symbols):
            self.n += len(symbols)
            self.energy += float(np.square(symbols, dtype=np.float64).sum())
            self.peak = max(self.peak, float(symbols.max()), -float(symbols.min()))

    @property
    def average_power(self) -> float:
        """Mean of x^2, in symbol units squared."""
        return self.energy / self.n if self.n else 0.0


@dataclass(slots=True)
class ErrorMeter:
    """Error of the weights that arrived."""

    n: int = 0
    error: float = 0.0
    signal: float = 0.0

    def add(self, sent: Weights, received: Weights) -> None:
        """Count more weights, shape (n,) each."""
        self.n += len(sent)
        self.error += float(np.square(received - sent.astype(np.float64)).sum())
        self.signal += float(np.square(sent, dtype=np.float64).sum())

    @property
    def weight_mse(self) -> float:
        """Mean of (w' - w)^2, in units of the weights squared."""
        return self.error / self.n if self.n else 0.0

    @property
    def sdr_db(self) -> float:
        """Signal-to-distortion ratio sum w^2 / sum (w' - w)^2 in dB; infinite without error."""
        return sdr_db(self.signal, self.error)
