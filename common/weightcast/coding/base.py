"""What a coding scheme is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from weightcast.arrays import Bits, Symbols, Weights, WeightSource
from weightcast.channels import Channel, State
from weightcast.decoding import Decoder
from weightcast.models.tensors import Tensor


class Plan(Protocol):
    """What a scheme derives from the weights: a frozen dataclass of numbers and arrays.

    Numbers (int, float) travel in the header, arrays (`numpy.ndarray`) in the side information; all
    are charged. A field ``tensors`` is not sent: it is the layout, which both ends have.
    """

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


@dataclass(frozen=True, slots=True)
class Arrived:
    """What the link makes of a block's symbols.

    Args:
        symbols: shape (n_symbols,).
        state: of the channel, for each of them; None if the decoder does not use it.
    """

    symbols: Symbols
    state: State | None = None


def tensor_pieces(tensors: Sequence[Tensor], at: int, n: int) -> Iterator[tuple[int, slice]]:
    """Yield (index of a tensor, slice of a block that lies in it).

    Args:
        tensors: in the order of their weights.
        at: index of the block's first weight.
        n: weights in the block.

    >>> two = (Tensor("a", "F32", (3,)), Tensor("b", "F32", (4,)))
    >>> list(tensor_pieces(two, at=2, n=4))
    [(0, slice(0, 1, None)), (1, slice(1, 4, None))]
    """
    start = 0
    for i, tensor in enumerate(tensors):
        first, last = max(start, at), min(start + tensor.n_values, at + n)
        if first < last:
            yield i, slice(first - at, last - at)
        start += tensor.n_values


P = TypeVar("P")


class Scheme(Protocol[P]):
    """An encode/decode pair: a frozen dataclass of params with pure methods.

    Blocks start at a multiple of 8 weights, so that their packed bits join without a seam.
    """

    name: ClassVar[str]

    plan_type: ClassVar[type[Any]]
    """The plan's dataclass; see `Plan`."""

    side_names: ClassVar[tuple[str, ...]]
    """Names of the bit planes in the side information: of `signs` and `classes`."""

    def plan(self, weights: WeightSource, tensors: Sequence[Tensor], channel: Channel) -> P:
        """Return the plan for these weights; reads them in blocks.

        Args:
            weights: to be sent.
            tensors: that they belong to, in order.
            channel: that they will meet, as far as the sender knows.

        Raises:
            WeightsError: a weight is nan or infinite, or there are too few of them.
        """
        ...

    def n_symbols(self, plan: P) -> int:
        """Return the number of symbols of the whole transmission."""
        ...

    def encode(self, plan: P, at: int, block: Weights) -> Sent:
        """Encode the weights ``at .. at + len(block) - 1``, shape (n,)."""
        ...

    def symbols_of(self, plan: P, at: int, n: int, side: dict[str, Bits]) -> int:
        """Return how many symbols the weights ``at .. at + n - 1`` have, given their side bits."""
        ...

    def decode(
        self, plan: P, at: int, n: int, arrived: Arrived, side: dict[str, Bits], decoder: Decoder
    ) -> Weights:
        """Decode the weights ``at .. at + n - 1`` from what arrived of their symbols."""
        ...
