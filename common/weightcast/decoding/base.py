"""What a decoder is."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from weightcast.channels.base import State

Values = npt.NDArray[np.float64]
"""Symbols as a decoder computes with them."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of symbols before they arrive: they lie in [low, high]."""

    low: float = -1.0
    high: float = 1.0


class Decoder(Protocol):
    """How the receiver estimates a symbol: a frozen dataclass of params."""

    name: ClassVar[str]

    uses_state: ClassVar[bool]
    """Whether it must be told the state of the channel (perfect channel state information)."""

    @property
    def limit(self) -> float | None:
        """The estimate's limit where it is y, limited to [-limit, limit]; may be infinite.

        Such an estimate is made while symbols become weights. None: `estimate` is called.
        """
        ...

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        """Return estimates of symbols from what arrived, shape (n,) in and out.

        Args:
            y: what arrived; repetitions are combined already.
            state: of the channel, for each y; None unless `uses_state`.
            prior: of the symbols.
        """
        ...
