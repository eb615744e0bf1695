"""What a coding scheme is."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from weightcast.arrays import Bits, Symbols, Weights, WeightSource


class Plan(Protocol):
    """The few numbers a scheme derives from the weights: a frozen dataclass of int and float."""

    @property
    def n_weights(self) -> int:
        """Number of weights the plan was made for."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """One encoded block.

    Args:
        symbols: shape (n_symbols,), in [-1, 1].
        side: packed bits by name, one bit per weight, shape (ceil(n / 8),) each.
    """

    symbols: Symbols
    side: dict[str, Bits]


P = TypeVar("P")


class Scheme(Protocol[P]):
    """An encode/decode pair: a frozen dataclass of params with pure methods.

    Blocks start at a multiple of 8 weights, so that their packed bits join without a seam.
    """

    plan_type: ClassVar[type[Any]]
    """The plan's dataclass; `registry.build` makes one from the header's numbers."""

    side_names: ClassVar[tuple[str, ...]]
    """Names of the bit planes in the side information: of `signs` and `classes`."""

    def plan(self, weights: WeightSource) -> P:
        """Return the plan for these weights; reads them in blocks.

        Raises:
            WeightsError: a weight is nan or infinite, or there are too few of them.
        """
        ...

    def n_symbols(self, plan: P) -> int:
        """Return the number of symbols of the whole transmission."""
        ...

    def encode(self, plan: P, block: Weights, at: int) -> Sent:
        """Encode the weights ``at .. at + len(block) - 1``, shape (n,)."""
        ...

    def symbols_of(self, plan: P, n: int, side: dict[str, Bits]) -> int:
        """Return how many symbols a block of ``n`` weights with this side information has."""
        ...

    def decode(self, plan: P, symbols: Symbols, n: int, side: dict[str, Bits]) -> Weights:
        """Decode a block of ``n`` weights from its symbols; repetitions are averaged."""
        ...
