"""What a decoder is."""

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt

from weightcast.channels.base import State

Values = npt.NDArray[np.float64]
"""Symbols as a decoder computes with them."""


Scope = Literal["tensor", "filter"]
"""What weights share a scale: those of a tensor, or those of a filter, a row of its matrix."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of symbols before they arrive: they lie in [low, high], and more.

    The weight (or its magnitude) behind a symbol x is ``centre + half * x``.

    Args:
        low, high: of the symbols.
        scale: root mean square of the weights that share a scale with each one, shape (n,); None
            unless the decoder has a `scope`.
        centre, half: of each symbol, shape (n,).
        is_magnitude: whether magnitudes are sent, and signs apart.
        is_large: symbols of the class of large magnitudes, which ``scale`` says little of.
    """

    low: float = -1.0
    high: float = 1.0
    scale: Values | None = None
    centre: Values | float = 0.0
    half: Values | float = 1.0
    is_magnitude: bool = False
    is_large: npt.NDArray[np.bool_] | bool = False


class Decoder(Protocol):
    """How the receiver estimates a symbol: a frozen dataclass of params."""

    name: ClassVar[str]

    uses_state: ClassVar[bool]
    """Whether it must be told the state of the channel (perfect channel state information)."""

    @property
    def scope(self) -> Scope | None:
        """What scales it must be told, which the sender then adds to its plan; None: none."""
        ...

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
