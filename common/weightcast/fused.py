"""Fused kernels (numba): the same bits as the plain numpy forms, at about memory speed.

Every kernel works on small pieces that stay in the first-level cache, in loops that the compiler
turns into vector code. No ``fastmath``: contraction or reordering would change bits from CPU to
CPU.
"""

from typing import Any

import numpy as np
from numba import njit

_jit: Any = njit(cache=True, nogil=True, error_model="numpy", boundscheck=False)
f = np.float32
_GROUPS = 512
_TWO_PI = f(2 * np.pi / 2**32)


@_jit
def add_noise_into(out, symbols, at, std, seed, stream):  # type: ignore[no-untyped-def]
    """Write ``symbols + std * noise`` to ``out``; see `weightcast.randomness` for the formulas."""
    n = len(symbols)
    scale = f(std)
    k0_first, k1_first = np.uint64(seed) & np.uint64(0xFFFFFFFF), np.uint64(seed) >> np.uint64(32)
    s0, s1 = np.uint64(stream) & np.uint64(0xFFFFFFFF), np.uint64(stream) >> np.uint64(32)
    words = np.empty((4, _GROUPS), np.uint32)
    u = np.empty(_GROUPS, np.float32)
    u_bits = u.view(np.int32)
    m = np.empty(_GROUPS, np.float32)
    m_bits = m.view(np.int32)
    exponents = np.empty(_GROUPS, np.float32)
    noise = np.empty(4 * _GROUPS, np.float32)
    w0, w1, w2, w3 = words[0], words[1], words[2], words[3]
    low = np.uint64(0xFFFFFFFF)
    half = np.uint64(32)
    group = np.int64(at) // 4
    skip: Any = np.int64(at) - 4 * group
    done = 0
    while done < n:
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
        for pair in range(2):
            first, second = words[2 * pair], words[2 * pair + 1]
            for i in range(_GROUPS):
                u[i] = f(first[i]) * f(2.0**-32) + f(2.0**-33)
            for i in range(_GROUPS):
                bits = np.int32(u_bits[i] + np.int32(0x004AFB0D))
                exponents[i] = f(np.int32(np.int32(bits >> np.int32(23)) - np.int32(127)))
                m_bits[i] = np.int32(np.int32(bits & np.int32(0x7FFFFF)) + np.int32(0x3F3504F3))
            for i in range(_GROUPS):
                exponent = exponents[i]
                x = m[i] - f(1)
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
                word = second[i]
                quadrant = np.uint32(np.uint32(word + np.uint32(1 << 29)) >> np.uint32(30))
                rest = np.int32(np.uint32(word - np.uint32(quadrant << np.uint32(30))))
                x = f(rest) * _TWO_PI
                z = x * x
                s = (f(-1.9515295891e-4) * z + f(8.3321608736e-3)) * z + f(-1.6666654611e-1)
                s = s * z * x + x
                c = (f(2.443315711809948e-5) * z + f(-1.388731625493765e-3)) * z
                c = (c + f(4.166664568298827e-2)) * z * z - f(0.5) * z + f(1)
                odd = (quadrant & np.uint32(1)) != 0
                cosine = s if odd else c
                sine = c if odd else s
                cosine = -cosine if ((quadrant + np.uint32(1)) & np.uint32(2)) != 0 else cosine
                sine = -sine if (quadrant & np.uint32(2)) != 0 else sine
                noise[4 * i + 2 * pair] = radius * cosine
                noise[4 * i + 2 * pair + 1] = radius * sine
        count: Any = min(4 * _GROUPS - skip, n - done)
        arrived, sent, drawn = out[done:], symbols[done:], noise[skip:]
        for i in range(count):
            arrived[i] = sent[i] + scale * drawn[i]
        done += count
        skip = 0
        group += _GROUPS
