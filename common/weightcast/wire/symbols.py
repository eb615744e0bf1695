"""Symbols as bytes: little-endian float32, in parts."""

from collections.abc import Iterable, Iterator

import numpy as np

from weightcast.arrays import Symbols
from weightcast.errors import FormatError
from weightcast.wire.header import PART_SYMBOLS

STAMP = "weightcast-channel"
"""Field in which a link tells the receiver which channel a part has been through."""


def cut_into_parts(blocks: Iterable[Symbols], size: int = PART_SYMBOLS) -> Iterator[Symbols]:
    """Join arrays of any length and cut them into parts of ``size`` symbols, the last shorter.

    >>> [len(part) for part in cut_into_parts([np.zeros(5, np.float32)] * 2, size=4)]
    [4, 4, 2]
    """
    part = np.empty(size, np.float32)
    filled = 0
    for block in blocks:
        while len(block):
            n = min(size - filled, len(block))
            part[filled : filled + n] = block[:n]
            filled += n
            block = block[n:]
            if filled == size:
                yield part
                part = np.empty(size, np.float32)
                filled = 0
    if filled:
        yield part[:filled]


def parse_symbols(raw: bytes | bytearray | memoryview, *, at: int, limited: bool) -> Symbols:
    """Return the symbols of a part.

    Args:
        raw: little-endian float32.
        at: index of the first symbol, for the message.
        limited: refuse what is outside [-1, 1], as symbols from a sender must not be.

    Raises:
        FormatError: a symbol that is not finite, or too large.
    """
    if len(raw) % 4:
        raise FormatError(f"a part has {len(raw)} bytes, which is not a multiple of 4")
    symbols = np.frombuffer(raw, "<f4").astype(np.float32, copy=False)
    limit = np.float32(1) if limited else np.float32(np.finfo(np.float32).max)
    peak = max(float(symbols.max(initial=0)), -float(symbols.min(initial=0)))
    if not peak <= limit:
        wrong = ~(np.abs(symbols) <= limit)
        first = int(np.argmax(wrong))
        what = "in [-1, 1]" if limited else "finite"
        raise FormatError(f"symbol {at + first} is {symbols[first]}; symbols must be {what}")
    return symbols
