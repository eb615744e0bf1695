"""The map between weights and symbols, fused into one pass over memory (numba).

A class of weights spans ``[low, high]`` and is mapped onto [-1, 1]: ``x = (w - centre) * alpha``
with ``centre = (high + low) / 2`` and ``alpha = 2 / (high - low)``, and back by
``w = centre + y / alpha`` (the paper's alpha, and its beta = alpha * centre). The arithmetic is
float64, the results float32.
Weights are taken 64 at a time, which the compiler turns into vector code; a group is done again,
weight by weight, only if it holds a large weight.
"""

from typing import Any

import numpy as np
from numba import njit

_jit: Any = njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)
GROUP = 64
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_INFINITY = np.uint32(0x7F800000)
LARGEST = float(np.finfo(np.float32).max)
ONE_CLASS = np.uint32(0xFFFFFFFF)
"""A threshold above every magnitude."""


@_jit
def _float32(w):  # type: ignore[no-untyped-def]
    """Round to float32; what is beyond its range becomes its largest number."""
    w = w if w < LARGEST else LARGEST
    return np.float32(w if w > -LARGEST else -LARGEST)


@_jit
def _encode_one_by_one(  # type: ignore[no-untyped-def]
    symbols, classes, k, values, start, threshold, last_tie, small, large, uses
):
    """Encode a group that has large weights or repetitions; return the next symbol's index."""
    codes = values.view(np.uint32)
    for j in range(len(values)):
        is_large = codes[j] > threshold or (codes[j] == threshold and start + j <= last_tie)
        if is_large:
            classes[start // GROUP] |= np.uint64(1) << np.uint64(j)
        span = large if is_large else small
        x = np.float32((np.float64(values[j]) - span[0]) * span[1])
        for _ in range(uses[1] if is_large else uses[0]):
            symbols[k] = x
            k += 1
    return k


@_jit
def _decode_one_by_one(group, symbols, k, mask, small, large, uses):  # type: ignore[no-untyped-def]
    """Decode a group that has large weights or repetitions; return the next symbol's index."""
    for j in range(len(group)):
        is_large = (mask >> np.uint64(j)) & np.uint64(1) != 0
        span = large if is_large else small
        n = uses[1] if is_large else uses[0]
        total = 0.0
        for _ in range(n):
            total += np.float64(symbols[k])
            k += 1
        group[j] = _float32(span[0] + span[1] * (total / n))
    return k


@_jit
def encode_into(  # type: ignore[no-untyped-def]
    symbols, signs, classes, weights, magnitudes, threshold, last_tie, small, large, uses
):
    """Map weights to symbols and pack the side bits.

    Args:
        symbols: out, shape (>= n * max(r_small, r_large),).
        signs, classes: out, uint64, shape (n / 64,), zero on entry; may be empty without
            ``magnitudes``, with one class.
        weights: shape (n,), n a multiple of 64.
        magnitudes: map |w| and write the signs.
        threshold: bits of tau: weight i is large if |w| > tau, or |w| = tau and i <= last_tie.
            `ONE_CLASS` if the scheme has one class.
        small, large: (centre, alpha) of the two classes.
        uses: (r_small, r_large).

    Returns:
        The number of symbols, or -1 if a weight is not finite.
    """
    bits = weights.view(np.uint32)
    kept = np.empty(GROUP, np.uint32)
    values = kept.view(np.float32)
    keep = _MAGNITUDE if magnitudes else np.uint32(0xFFFFFFFF)
    centre, alpha = small
    k = 0
    for start in range(0, len(weights), GROUP):
        codes, out = bits[start : start + GROUP], symbols[k : k + GROUP]
        top = np.uint32(0)
        for j in range(GROUP):
            kept[j] = codes[j] & keep
            top = max(top, np.uint32(codes[j] & _MAGNITUDE))
        for j in range(GROUP):
            out[j] = np.float32((np.float64(values[j]) - centre) * alpha)
        if magnitudes:
            word = np.uint64(0)
            for j in range(GROUP):
                word |= np.uint64(codes[j] >> np.uint32(31)) << np.uint64(j)
            signs[start // GROUP] = word
        if top >= _INFINITY:
            return -1
        if top < threshold and uses[0] == 1:
            k += GROUP
            continue
        k = _encode_one_by_one(
            symbols, classes, k, values, start, threshold, last_tie, small, large, uses
        )
    return k


@_jit
def decode_into(  # type: ignore[no-untyped-def]
    weights, symbols, signs, classes, small, large, uses
):
    """Map symbols back to weights, averaging repetitions; the inverse of `encode_into`.

    Args:
        weights: out, shape (n,), n a multiple of 64.
        symbols: shape (n_symbols,).
        signs, classes: uint64, shape (n / 64,), or empty: no signs, one class.
        small, large: (centre, 1 / alpha) of the two classes.
    """
    bits = weights.view(np.uint32)
    centre, half = small
    k = 0
    for start in range(0, len(weights), GROUP):
        group, codes = weights[start : start + GROUP], bits[start : start + GROUP]
        mask = classes[start // GROUP] if len(classes) else np.uint64(0)
        if mask == 0 and uses[0] == 1:
            y = symbols[k : k + GROUP]
            for j in range(GROUP):
                group[j] = _float32(centre + half * np.float64(y[j]))
            k += GROUP
        else:
            k = _decode_one_by_one(group, symbols, k, mask, small, large, uses)
        if len(signs):
            word = signs[start // GROUP]
            for j in range(GROUP):
                codes[j] ^= np.uint32(np.uint32(word >> np.uint64(j)) << np.uint32(31))


@_jit
def count_into(counts, weights, shift, prefix):  # type: ignore[no-untyped-def]
    """Count magnitudes by 16 bits: the upper (``shift`` 16), or the lower under ``prefix``."""
    bits = weights.view(np.uint32)
    for i in range(len(weights)):
        magnitude = bits[i] & _MAGNITUDE
        if shift == 16:
            counts[magnitude >> np.uint32(16)] += 1
        elif magnitude >> np.uint32(16) == prefix:
            counts[magnitude & np.uint32(0xFFFF)] += 1
