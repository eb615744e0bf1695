"""The map between weights and symbols, fused into one pass over memory (numba).

A class of weights spans ``[low, high]`` and is mapped onto [-1, 1]: ``x = (w - centre) * alpha``
with ``centre = (high + low) / 2`` and ``alpha = 2 / (high - low)``, and back by
``w = centre + y / alpha`` (the paper's alpha, and its beta = alpha * centre). The arithmetic is
float64, the results float32.

Weights are taken 64 at a time with vector instructions, written out in LLVM's portable types: the
compiler's own vectoriser takes or leaves a loop for reasons that change with its version. The
operations are IEEE 754's, one by one, so every CPU computes the same bits. A group is done again,
weight by weight, only if it holds a large weight or repetitions.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from weightcast.arrays import GROUP, LARGEST
from weightcast.compiling import compiled

_intrinsic: Any = intrinsic
_cgutils: Any = cgutils
_types: Any = types
_MAGNITUDE = np.uint32(0x7FFFFFFF)
_WHOLE = np.uint32(0xFFFFFFFF)
_INFINITY = np.uint32(0x7F800000)

_LANES = 16
_FLOATS = ir.VectorType(ir.FloatType(), _LANES)
_DOUBLES = ir.VectorType(ir.DoubleType(), _LANES)
_CODES = ir.VectorType(ir.IntType(32), _LANES)
_FLAGS = ir.VectorType(ir.IntType(1), _LANES)
_MASK = ir.IntType(_LANES)
_WORD = ir.IntType(64)
_UNALIGNED = 1


@_intrinsic
def _encode_group(typing, symbols, weights, centre, alpha, keep, limit):  # type: ignore[no-untyped-def]
    """Write 64 symbols ``(w - centre) * alpha``.

    Args:
        typing: numba's typing context.
        symbols, weights: addresses, of the results and of float32 weights.
        centre, alpha: float64.
        keep: bits of a weight to keep: all, or all but the sign.
        limit: bits of a magnitude.

    Returns:
        Two words, a bit per weight: its sign; whether the bits of its magnitude are at least limit.
    """

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        symbols, weights, *scalars = arguments
        centre, alpha, keep, limit = (_spread(builder, scalar) for scalar in scalars)
        negative = rare = ir.Constant(_WORD, 0)
        for first in range(0, GROUP, _LANES):
            codes = builder.load(_at(builder, weights, first, _CODES), align=_UNALIGNED)
            is_negative = builder.icmp_signed("<", codes, _all(_CODES, 0))
            is_rare = builder.icmp_unsigned(
                ">=", builder.and_(codes, _all(_CODES, 0x7FFFFFFF)), limit
            )
            negative = builder.or_(negative, _to_word(builder, is_negative, first))
            rare = builder.or_(rare, _to_word(builder, is_rare, first))
            w = builder.fpext(builder.bitcast(builder.and_(codes, keep), _FLOATS), _DOUBLES)
            x = builder.fptrunc(builder.fmul(builder.fsub(w, centre), alpha), _FLOATS)
            builder.store(x, _at(builder, symbols, first, _FLOATS), align=_UNALIGNED)
        return _cgutils.pack_array(builder, [negative, rare])

    words = _types.UniTuple(types.uint64, 2)
    address, number, code = types.intp, types.float64, types.uint32
    return words(address, address, number, number, code, code), build


@_intrinsic
def _decode_group(typing, weights, symbols, centre, half, limit):  # type: ignore[no-untyped-def]
    """Write 64 weights ``centre + half * y``, y limited to [-limit, limit], rounded to float32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, symbols, *scalars = arguments
        centre, half, limit = (_spread(builder, scalar) for scalar in scalars)
        bottom = builder.fneg(limit)
        for first in range(0, GROUP, _LANES):
            y = builder.load(_at(builder, symbols, first, _FLOATS), align=_UNALIGNED)
            y = builder.fpext(y, _DOUBLES)
            y = builder.select(builder.fcmp_ordered("<", y, limit), y, limit)
            y = builder.select(builder.fcmp_ordered(">", y, bottom), y, bottom)
            w = builder.fadd(centre, builder.fmul(half, y))
            w = builder.fptrunc(w, _FLOATS)
            builder.store(w, _at(builder, weights, first, _FLOATS), align=_UNALIGNED)
        return context.get_dummy_value()

    address, number = types.intp, types.float64
    return types.void(address, address, number, number, number), build


@_intrinsic
def _finish_group(typing, weights, negative):  # type: ignore[no-untyped-def]
    """Make what is beyond the range of float32 its largest number, then flip the marked signs."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, negative = arguments
        top, bottom = _all(_FLOATS, LARGEST), _all(_FLOATS, -LARGEST)
        for first in range(0, GROUP, _LANES):
            place = _at(builder, weights, first, _FLOATS)
            w = builder.load(place, align=_UNALIGNED)
            w = builder.select(builder.fcmp_ordered("<", w, top), w, top)
            w = builder.select(builder.fcmp_ordered(">", w, bottom), w, bottom)
            mask = builder.trunc(builder.lshr(negative, ir.Constant(_WORD, first)), _MASK)
            is_negative = builder.bitcast(mask, _FLAGS)
            sign = builder.select(is_negative, _all(_CODES, 1 << 31), _all(_CODES, 0))
            w = builder.bitcast(builder.xor(builder.bitcast(w, _CODES), sign), _FLOATS)
            builder.store(w, place, align=_UNALIGNED)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint64), build


def _all(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [value] * _LANES)


def _spread(builder: Any, scalar: Any) -> Any:
    vector = ir.Constant(ir.VectorType(scalar.type, _LANES), ir.Undefined)
    for lane in range(_LANES):
        vector = builder.insert_element(vector, scalar, ir.Constant(ir.IntType(32), lane))
    return vector


def _at(builder: Any, address: Any, first: int, vector: Any) -> Any:
    return builder.inttoptr(
        builder.add(address, ir.Constant(address.type, 4 * first)), vector.as_pointer()
    )


def _to_word(builder: Any, flags: Any, first: int) -> Any:
    bits = builder.zext(builder.bitcast(flags, _MASK), _WORD)
    return builder.shl(bits, ir.Constant(_WORD, first))


@compiled
def _encode_one_by_one(  # type: ignore[no-untyped-def]
    out, k, weights, start, magnitudes, large_from, spans, uses
):
    """Encode a group that has large weights or repetitions; return the next symbol's index."""
    symbols, classes = out
    threshold, last_tie = large_from
    bits = weights.view(np.uint32)
    mask = np.uint64(0)
    for i in range(start, start + GROUP):
        code = bits[i] & _MAGNITUDE
        if code >= _INFINITY:
            return -1
        is_large = code > threshold or (code == threshold and i <= last_tie)
        if is_large:
            mask |= np.uint64(1) << np.uint64(i - start)
        span = spans[1] if is_large else spans[0]
        w = np.float64(abs(weights[i]) if magnitudes else weights[i])
        x = np.float32((w - span[0]) * span[1])
        for _ in range(uses[1] if is_large else uses[0]):
            symbols[k] = x
            k += 1
    if mask != 0:
        classes[start // GROUP] = mask
    return k


@compiled
def _decode_one_by_one(  # type: ignore[no-untyped-def]
    weights, start, symbols, k, mask, spans, uses, limit
):
    """Decode a group that has large weights or repetitions; return the next symbol's index."""
    for j in range(GROUP):
        is_large = (mask >> np.uint64(j)) & np.uint64(1) != 0
        span = spans[1] if is_large else spans[0]
        n = uses[1] if is_large else uses[0]
        total = 0.0
        for _ in range(n):
            total += np.float64(symbols[k])
            k += 1
        y = max(-limit, min(limit, total / n))
        weights[start + j] = np.float32(span[0] + span[1] * y)
    return k


@compiled
def encode_into(  # type: ignore[no-untyped-def]
    symbols, signs, classes, weights, magnitudes, large_from, spans, uses
):
    """Map weights to symbols and pack the side bits.

    Args:
        symbols: out, shape (>= n * max(r_small, r_large),).
        signs, classes: out, uint64, shape (n / 64,), zero on entry; may be empty without
            ``magnitudes``, with one class.
        weights: shape (n,), n a multiple of 64.
        magnitudes: map |w| and write the signs.
        large_from: (bits of tau, last tie): weight i is large if |w| > tau, or |w| = tau and i <=
            last tie. tau is `ONE_CLASS` if the scheme has one class.
        spans: (centre, alpha) of small and of large weights.
        uses: (r_small, r_large).

    Returns:
        The number of symbols, or -1 if a weight is not finite.
    """
    weights = np.ascontiguousarray(weights)
    keep = _MAGNITUDE if magnitudes else _WHOLE
    limit = np.uint32(min(large_from[0], _INFINITY)) if uses[0] == 1 else np.uint32(0)
    to, at = symbols.ctypes.data, weights.ctypes.data
    centre, alpha = spans[0]
    k = 0
    for group in range(len(weights) // GROUP):
        start = group * GROUP
        negative, rare = _encode_group(to + 4 * k, at + 4 * start, centre, alpha, keep, limit)
        if magnitudes:
            signs[group] = negative
        if rare == 0:
            k += GROUP
            continue
        out = symbols, classes
        k = _encode_one_by_one(out, k, weights, start, magnitudes, large_from, spans, uses)
        if k < 0:
            return k
    return k


@compiled
def decode_into(  # type: ignore[no-untyped-def]
    weights, symbols, signs, classes, small, large, uses, limit
):
    """Map symbols back to weights, averaging repetitions; the inverse of `encode_into`.

    What is beyond the range of float32 becomes its largest number.

    Args:
        weights: out, shape (n,), n a multiple of 64.
        symbols: shape (n_symbols,).
        signs, classes: uint64, shape (n / 64,), or empty: no signs, one class.
        small, large: (centre, 1 / alpha) of the two classes.
        uses: (r_small, r_large).
        limit: what was received, averaged, is first limited to [-limit, limit].
    """
    symbols = np.ascontiguousarray(symbols)
    to, at = weights.ctypes.data, symbols.ctypes.data
    k = 0
    for group in range(len(weights) // GROUP):
        start = group * GROUP
        mask = classes[group] if len(classes) else np.uint64(0)
        if mask == 0 and uses[0] == 1:
            _decode_group(to + 4 * start, at + 4 * k, small[0], small[1], limit)
            k += GROUP
        else:
            spans = small, large
            k = _decode_one_by_one(weights, start, symbols, k, mask, spans, uses, limit)
        _finish_group(to + 4 * start, signs[group] if len(signs) else np.uint64(0))


@compiled
def count_into(counts, weights, shift, prefix):  # type: ignore[no-untyped-def]
    """Count magnitudes by 16 bits: the upper (``shift`` 16), or the lower under ``prefix``."""
    bits = weights.view(np.uint32)
    for i in range(len(weights)):
        magnitude = bits[i] & _MAGNITUDE
        if shift == 16:
            counts[magnitude >> np.uint32(16)] += 1
        elif magnitude >> np.uint32(16) == prefix:
            counts[magnitude & np.uint32(0xFFFF)] += 1
