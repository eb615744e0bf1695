"""The linear map between weights and symbols, in one or two classes."""

import numpy as np
import numpy.typing as npt

from weightcast.arrays import GROUP, LARGEST, Bits, Weights, refuse_non_finite
from weightcast.coding.base import Arrived, Sent
from weightcast.coding.combining import combined
from weightcast.coding.paper.plans import Span, kernels
from weightcast.decoding import Decoder, Prior, Values

ONE_CLASS = np.uint32(0xFFFFFFFF)
"""A threshold above every magnitude, for the kernels."""
Words = npt.NDArray[np.uint64]
_NO_WORDS: Words = np.zeros(0, np.uint64)


def encode_block(
    block: Weights,
    at: int,
    *,
    magnitudes: bool,
    small: Span,
    large: Span | None = None,
    last_tie: int = -1,
    r_small: int = 1,
    r_large: int = 1,
) -> Sent:
    """Map a block of weights to symbols.

    Args:
        block: shape (n,).
        at: index of ``block[0]``.
        magnitudes: map |w|; the signs become side information.
        small: (low, high) of the only class, or of the class of small magnitudes.
        large: (low, high) of the class of large magnitudes; low is the threshold.
        last_tie: as in `ClassPlan`.
        r_small, r_large: uses per weight.
    """
    n = len(block)
    block = _padded(block)
    words = len(block) // GROUP
    symbols = np.empty(len(block) * max(r_small, r_large), np.float32)
    signs = np.zeros(words if magnitudes else 0, np.uint64)
    classes = np.zeros(words if large else 0, np.uint64)
    threshold = np.float32(large[0]).view(np.uint32) if large else ONE_CLASS
    used = kernels().encode_into(
        symbols,
        signs,
        classes,
        block,
        magnitudes,
        (threshold, min(last_tie - at, n - 1)),  # the padding is in no class
        (_forward(small), _forward(large or small)),
        (r_small, r_large),
    )
    if used < 0:
        refuse_non_finite(block, at)
    planes = {"signs": signs, "classes": classes}
    side = {name: p.view(np.uint8)[: (n + 7) // 8] for name, p in planes.items() if len(p)}
    return Sent(symbols[: used - r_small * (len(block) - n)], side)


def decode_block(
    arrived: Arrived,
    n: int,
    side: dict[str, Bits],
    decoder: Decoder,
    *,
    spans: tuple[Span, Span | None],
    uses: tuple[int, int] = (1, 1),
    scale: Values | None = None,
) -> Weights:
    """Map symbols back to a block of ``n`` weights; repetitions are combined in float64.

    A result beyond the range of float32 becomes its largest number.

    Args:
        arrived: symbols of the block, and the state of the channel if the decoder uses it.
        n: weights in the block.
        side: their signs and classes.
        decoder: what estimates a symbol from what arrived of it.
        spans, uses: small and large, as for `encode_block`.
        scale: of each weight, shape (n,), if the decoder needs it.
    """
    small, large = spans
    maps = _backward(small), _backward(large or small)
    if decoder.limit is None:
        return _estimated(arrived, n, side, decoder, maps, uses, scale)
    symbols = arrived.symbols
    weights = np.empty(n + -n % GROUP, np.float32)
    missing = len(weights) - n
    if missing:
        symbols = np.concatenate([symbols, np.zeros(uses[0] * missing, np.float32)])
    kernels().decode_into(
        weights,
        symbols,
        _as_words(side["signs"], n) if "signs" in side else _NO_WORDS,
        _as_words(side["classes"], n) if large else _NO_WORDS,
        *maps,
        uses,
        decoder.limit,
    )
    return weights[:n]


def _estimated(
    arrived: Arrived,
    n: int,
    side: dict[str, Bits],
    decoder: Decoder,
    maps: tuple[Span, Span],
    uses: tuple[int, int],
    scale: Values | None,
) -> Weights:
    """Return the weights as the decoder's `estimate` has them."""
    is_large = unpacked(side["classes"], n) if "classes" in side else np.zeros(n, bool)
    z, state = combined(arrived, np.where(is_large, uses[1], uses[0]))
    centre, half = np.where(is_large[:, None], maps[1], maps[0]).T
    is_magnitude = "signs" in side
    prior = Prior(
        scale=scale, centre=centre, half=half, is_magnitude=is_magnitude, is_large=is_large
    )
    estimate = decoder.estimate(z, state, prior)
    found: Weights = np.clip(centre + half * estimate, -LARGEST, LARGEST).astype(np.float32)
    if is_magnitude:
        np.negative(found, where=unpacked(side["signs"], n), out=found)
    return found


def count_bits(bits: Bits) -> int:
    """Return the number of ones in packed bits.

    >>> count_bits(np.array([3, 128], np.uint8))
    3
    """
    return int(np.bitwise_count(bits).sum())


def unpacked(bits: Bits, n: int) -> npt.NDArray[np.bool_]:
    """Return the first ``n`` packed bits, shape (n,).

    >>> unpacked(np.array([5], np.uint8), 4).tolist()
    [True, False, True, False]
    """
    return np.unpackbits(bits, count=n, bitorder="little").view(np.bool_)


def _forward(span: Span) -> Span:
    low, high = span
    return (low + high) / 2, 2 / (high - low) if high > low else 0.0


def _backward(span: Span) -> Span:
    low, high = span
    return (low + high) / 2, (high - low) / 2


def _padded(block: Weights) -> Weights:
    missing = -len(block) % GROUP
    return np.concatenate([block, np.zeros(missing, np.float32)]) if missing else block


def _as_words(bits: Bits, n: int) -> Words:
    words = np.zeros(-(-n // GROUP), np.uint64)
    words.view(np.uint8)[: len(bits)] = bits
    return words
