"""The whole experiment on one page: plan, encode, transmit, decode.

::

    weights ── plan ──> plan
       └──── encode ──> symbols in [-1, 1] ── channel ──> noisy symbols ── decode ──> weights'
                  └───> side information (error-free) ──────────────────────┘

The services do these same steps with HTTP in between and arrive at the same weights bit for bit.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from weightcast.arrays import Bits, Symbols, Weights, WeightSource, as_weights, blocks
from weightcast.coding import Arrived, Scheme, Sent
from weightcast.coding.scales import with_scales
from weightcast.models.tensors import Tensor
from weightcast.setup import Setup

A = TypeVar("A")
B = TypeVar("B")


def transmit(
    weights: WeightSource,
    setup: Setup,
    tensors: Sequence[Tensor] | None = None,
    plan: Any = None,
    watch: Callable[[Sent], None] = lambda sent: None,
) -> Weights:
    """Send weights over a channel and return what arrives, shape (n_weights,).

    Args:
        weights: to be sent; an array may hold floats of any width, shape (n_weights,).
        setup: of the run.
        tensors: that the weights belong to, in order; None: one tensor of all of them.
        plan: of the scheme for these weights; None makes it.
        watch: called with each encoded block, in order.

    >>> from weightcast.channels.awgn import AWGN
    >>> from weightcast.coding.paper.unprotected import Unprotected
    >>> w = np.linspace(-1, 1, 5, dtype=np.float32)
    >>> transmit(w, Setup(scheme=Unprotected(), channel=AWGN(std=0.0), seed=1)).tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    if isinstance(weights, np.ndarray):
        weights = as_weights(weights)
    if plan is None:
        plan = plan_for(weights, setup, tensors)
    scheme, channel, noise = setup.scheme, setup.channel, setup.noise

    def with_symbol_index() -> Iterator[tuple[int, int, Sent, int]]:
        at_symbol = 0
        for at, block, sent in encode(weights, scheme, plan):
            watch(sent)
            yield at, len(block), sent, at_symbol
            at_symbol += len(sent.symbols)

    def arrive(piece: tuple[int, int, Sent, int]) -> tuple[int, Weights]:
        at, n, sent, at_symbol = piece
        symbols = channel.transmit(sent.symbols, at_symbol, noise)
        return at, decode_block(setup, plan, at, n, symbols, at_symbol, sent.side)

    received = np.empty(len(weights), np.float32)
    for at, block in in_threads(arrive, with_symbol_index()):
        received[at : at + len(block)] = block
    return received


def plan_for(weights: WeightSource, setup: Setup, tensors: Sequence[Tensor] | None = None) -> Any:
    """Return the plan of a setup's scheme, with what its decoder needs; arguments as `transmit`."""
    if isinstance(weights, np.ndarray):
        weights = as_weights(weights)
    tensors = tensors or (Tensor("weights", "F32", (len(weights),)),)
    plan = setup.scheme.plan(weights, tensors, setup.channel)
    return with_scales(plan, weights, tensors, setup.decoder)


def encode(
    weights: WeightSource, scheme: Scheme[Any], plan: Any
) -> Iterator[tuple[int, Weights, Sent]]:
    """Yield (index of the first weight, block, encoded block) in order, computed in threads."""

    def one(piece: tuple[int, Weights]) -> tuple[int, Weights, Sent]:
        at, block = piece
        return at, block, scheme.encode(plan, at, block)

    return in_threads(one, blocks(weights))


def decode_block(
    setup: Setup,
    plan: Any,
    at: int,
    n: int,
    symbols: Symbols,
    at_symbol: int,
    side: dict[str, Bits],
) -> Weights:
    """Return the weights ``at .. at + n - 1`` from what arrived of their symbols.

    Args:
        setup: of the run.
        plan: of the scheme.
        at: index of the first weight.
        n: weights in the block.
        symbols: what arrived, shape (n_symbols,).
        at_symbol: index of the first symbol in the transmission.
        side: side bits of the block.
    """
    state = None
    if setup.decoder.uses_state:
        state = setup.channel.state(at_symbol, len(symbols), setup.noise)
    return setup.scheme.decode(plan, at, n, Arrived(symbols, state), side, setup.decoder)


def in_threads(function: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """Map in order over a pool with one thread per core, a few items ahead and no further."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[B]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
