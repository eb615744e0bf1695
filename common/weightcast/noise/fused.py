"""Fused kernels (numba): the same bits as the plain numpy forms, at about memory speed.

Every kernel works on small pieces that stay in the first-level cache, in loops that the compiler
turns into vector code. No ``fastmath``: contraction or reordering would change bits from CPU to
CPU.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from weightcast.compiling import compiled

_intrinsic: Any = intrinsic
_cgutils: Any = cgutils
f = np.float32
u = np.uint32
_GROUPS = 512
_CACHE_LINE = 64
_TWO_PI = f(2 * np.pi / 2**32)
_SIGN = u(1 << 31)


@_intrinsic
def _bits_of(typing, number):  # type: ignore[no-untyped-def]
    """Return the bits of a float32 as uint32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), build


@_intrinsic
def _float_of(typing, bits):  # type: ignore[no-untyped-def]
    """Return the float32 with these bits, uint32."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), build


@_intrinsic
def _prefetch(typing, address):  # type: ignore[no-untyped-def]
    """Ask for a cache line that will be read soon."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        int32 = ir.IntType(32)
        place = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [place.type, int32, int32, int32])
        function = _cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        # To read (0), to be kept in all caches (3), data (1).
        builder.call(function, [place, int32(0), int32(3), int32(1)])
        return context.get_dummy_value()

    return types.void(types.intp), build


@compiled
def _normal_pair(first, second):  # type: ignore[no-untyped-def]
    """Turn two words into two normal numbers; see `weightcast.noise.gaussian` for the formulas."""
    bits = u(_bits_of(f(first) * f(2.0**-32) + f(2.0**-33)) + u(0x004AFB0D))
    exponent = f(np.int32(u(bits >> u(23)) - u(127)))
    x = _float_of(u(u(bits & u(0x7FFFFF)) + u(0x3F3504F3))) - f(1)
    z = x * x
    y = f(7.0376836292e-2) * x - f(1.1514610310e-1)
    y = y * x + f(1.1676998740e-1)
    y = y * x + f(-1.2420140846e-1)
    y = y * x + f(1.4249322787e-1)
    y = y * x + f(-1.6668057665e-1)
    y = y * x + f(2.0000714765e-1)
    y = y * x + f(-2.4999993993e-1)
    y = y * x + f(3.3333331174e-1)
    y = y * x * z + exponent * f(-2.12194440e-4) - f(0.5) * z
    radius = np.sqrt(f(-2) * ((x + y) + exponent * f(0.693359375)))
    # The quadrant is in the two upper bits, where a shift or an addition turns it into a sign.
    turned = u(second + u(1 << 29))
    x = f(np.int32(u(second - u(turned & u(3 << 30))))) * _TWO_PI
    z = x * x
    s = (f(-1.9515295891e-4) * z + f(8.3321608736e-3)) * z + f(-1.6666654611e-1)
    s = s * z * x + x
    c = (f(2.443315711809948e-5) * z + f(-1.388731625493765e-3)) * z
    c = (c + f(4.166664568298827e-2)) * z * z - f(0.5) * z + f(1)
    is_odd = np.int32(u(turned << u(1))) < np.int32(0)
    cosine = radius * (s if is_odd else c)
    sine = radius * (c if is_odd else s)
    return (
        _float_of(u(_bits_of(cosine) ^ u(u(turned + u(1 << 30)) & _SIGN))),
        _float_of(u(_bits_of(sine) ^ u(turned & _SIGN))),
    )


@compiled
def add_noise_into(out, symbols, at, std, seed, draw):  # type: ignore[no-untyped-def]
    """Write ``symbols + std * noise`` to ``out``; `weightcast.noise.gaussian` has the formulas."""
    n = len(symbols)
    scale = f(std)
    k0_first, k1_first = np.uint64(seed) & np.uint64(0xFFFFFFFF), np.uint64(seed) >> np.uint64(32)
    s0, s1 = np.uint64(draw) & np.uint64(0xFFFFFFFF), np.uint64(draw) >> np.uint64(32)
    words = np.empty((4, _GROUPS), np.uint32)
    noise = np.empty(4 * _GROUPS, np.float32)
    w0, w1, w2, w3 = words[0], words[1], words[2], words[3]
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    group = np.int64(at) // 4
    skip: Any = np.int64(at) - 4 * group
    source = symbols.ctypes.data
    done = 0
    while done < n:
        # The memory is asked for before it is needed: it comes while the noise is drawn.
        for line in range(4 * min(4 * _GROUPS, n - done) // _CACHE_LINE):
            _prefetch(source + 4 * done + _CACHE_LINE * line)
        for i in range(_GROUPS):
            counter = np.uint64(group + i)
            c0, c1, c2, c3 = counter & low, counter >> half, s0, s1
            k0, k1 = k0_first, k1_first
            for _ in range(10):
                p0 = c0 * np.uint64(0xD2511F53)
                p1 = c2 * np.uint64(0xCD9E8D57)
                c0 = (p1 >> half) ^ c1 ^ k0
                c2 = (p0 >> half) ^ c3 ^ k1
                c1 = p1 & low
                c3 = p0 & low
                k0 = (k0 + np.uint64(0x9E3779B9)) & low
                k1 = (k1 + np.uint64(0xBB67AE85)) & low
            w0[i] = np.uint32(c0)
            w1[i] = np.uint32(c1)
            w2[i] = np.uint32(c2)
            w3[i] = np.uint32(c3)
        for i in range(_GROUPS):
            noise[4 * i], noise[4 * i + 1] = _normal_pair(w0[i], w1[i])
            noise[4 * i + 2], noise[4 * i + 3] = _normal_pair(w2[i], w3[i])
        count: Any = min(4 * _GROUPS - skip, n - done)
        arrived, sent, drawn = out[done:], symbols[done:], noise[skip:]
        for i in range(count):
            arrived[i] = sent[i] + scale * drawn[i]
        done += count
        skip = 0
        group += _GROUPS
