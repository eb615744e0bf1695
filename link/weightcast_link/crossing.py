"""One part on its way over the channel."""

import mmap
from io import BufferedRandom

import numpy as np

from weightcast.arrays import BLOCK
from weightcast.channels import Channel
from weightcast.errors import FormatError
from weightcast.noise.gaussian import Noise
from weightcast.wire.header import PART_SYMBOLS, SYMBOL_BYTES
from weightcast.wire.symbols import parse_symbols

_PIECE = SYMBOL_BYTES * BLOCK


def read_part(file: BufferedRandom, n: int, n_bytes: int) -> memoryview:
    """Return the bytes of part ``n``, in memory that may be written to.

    The memory is mapped for this part alone and goes back to the system with it. A thread's heap
    would keep some megabytes of what is freed.

    Raises:
        FormatError: there are not ``n_bytes``.
    """
    raw = memoryview(mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE))
    length = file.readinto(raw)
    if length != n_bytes:
        raise FormatError(f"part {n} has {length} bytes, header promises {n_bytes}")
    return raw


def cross_into(raw: memoryview, n: int, channel: Channel, noise: Noise) -> None:
    """Turn the symbols of part ``n`` into what the channel makes of them, block by block.

    Args:
        raw: little-endian float32 symbols; the result takes their place.
        n: number of the part.
        channel: what they go through.
        noise: of its transmission.

    Raises:
        FormatError: a symbol is not in [-1, 1].
    """
    for start in range(0, len(raw), _PIECE):
        block = raw[start : start + _PIECE]
        at = n * PART_SYMBOLS + start // SYMBOL_BYTES
        arrived = channel.transmit(parse_symbols(block, at=at, limited=True), at, noise)
        block[:] = arrived.astype("<f4", copy=False).view(np.uint8).data
