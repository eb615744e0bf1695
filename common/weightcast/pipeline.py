"""The whole experiment on one page: plan, encode, transmit, decode.

::

    weights ── plan ──> plan
       └──── encode ──> symbols in [-1, 1] ── channel ──> noisy symbols ── decode ──> weights'
                  └───> side information (error-free) ──────────────────────┘

The services do these same steps with HTTP in between and arrive at the same weights bit for bit.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from weightcast.arrays import Weights, WeightSource, blocks
from weightcast.channels import Channel
from weightcast.coding import Scheme, Sent
from weightcast.randomness import Noise

A = TypeVar("A")
B = TypeVar("B")


def transmit(
    weights: WeightSource,
    scheme: Scheme[Any],
    channel: Channel,
    noise: Noise,
    plan: Any = None,
    watch: Callable[[Sent], None] = lambda sent: None,
) -> Weights:
    """Send weights over a channel and return what arrives, shape (n_weights,).

    Args:
        weights, scheme, channel, noise: the experiment.
        plan: of the scheme for these weights; None makes it.
        watch: called with each encoded block, in order.

    >>> from weightcast.channels.awgn import AWGN
    >>> from weightcast.coding.unprotected import Unprotected
    >>> w = np.linspace(-1, 1, 5, dtype=np.float32)
    >>> transmit(w, Unprotected(), AWGN(std=0.0), Noise(seed=1)).tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    plan = plan or scheme.plan(weights)

    def with_symbol_index() -> Iterator[tuple[int, int, Sent, int]]:
        at_symbol = 0
        for at, block, sent in encode(weights, scheme, plan):
            watch(sent)
            yield at, len(block), sent, at_symbol
            at_symbol += len(sent.symbols)

    def arrive(piece: tuple[int, int, Sent, int]) -> tuple[int, Weights]:
        at, n, sent, at_symbol = piece
        symbols = channel.transmit(sent.symbols, at_symbol, noise)
        return at, scheme.decode(plan, symbols, n, sent.side)

    received = np.empty(len(weights), np.float32)
    for at, block in in_threads(arrive, with_symbol_index()):
        received[at : at + len(block)] = block
    return received


def encode(
    weights: WeightSource, scheme: Scheme[Any], plan: Any
) -> Iterator[tuple[int, Weights, Sent]]:
    """Yield (index of the first weight, block, encoded block) in order, computed in threads."""

    def one(piece: tuple[int, Weights]) -> tuple[int, Weights, Sent]:
        at, block = piece
        return at, block, scheme.encode(plan, block, at)

    return in_threads(one, blocks(weights))


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
