r"""Counter-based Gaussian noise: the noise on symbol k is a pure function of (seed, draw, k).

Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) is keyed by
the 64-bit seed; its counter is (k // 4, draw), 64 bits each. Its four words :math:`w_0..w_3`
become the noise of symbols 4j .. 4j + 3 by Box and Muller (Ann. Math. Stat. 29, 1958), a pair of
words each: :math:`r = \sqrt{-2 \ln u}`, :math:`u = (w_0 + 1/2)/2^{32}`, :math:`\phi = 2 \pi w_1 /
2^{32}`, noise :math:`r \cos \phi, r \sin \phi`. So :math:`|n| \le \sqrt{2 \ln 2^{33}} = 6.76`.

Logarithm, sine and cosine are polynomials in float32 (Cephes ``logf``, ``sinf``, ``cosf``) made of
additions, multiplications and square roots only, which IEEE 754 rounds alike everywhere: chunking,
order, process and CPU type do not change a bit. Two implementations give the same bits: a fused
one (`weightcast.noise.fused`, numba) and a plain one in numpy, used where numba is not installed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from weightcast.arrays import Symbols
from weightcast.errors import ParameterError

_WORD = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """One draw of unit-variance noise.

    Args:
        seed: 0 .. 2**64 - 1, chosen for the experiment.
        draw: 0 .. 2**64 - 1, the number of the repetition; draws are independent.
    """

    seed: int
    draw: int = 0

    def __post_init__(self) -> None:
        for name, value in (("seed", self.seed), ("draw", self.draw)):
            if not 0 <= value < 2**64:
                raise ParameterError(f"{name} must be in 0 .. 2**64 - 1, got {value}")

    def branch(self, name: str) -> "Noise":
        """Return noise that is independent of this one and of every branch with another name.

        Each stage of a channel draws from a branch of its own, so that no number is used twice. The
        seed of a branch is the first 64 bits of the SHA-256 of "seed/name".

        >>> Noise(seed=7).branch("fading").seed == Noise(seed=7).branch("noise").seed
        False
        """
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return Noise(seed=int.from_bytes(digest[:8], "little"), draw=self.draw)

    def normal(self, at: int, n: int) -> Symbols:
        """Return the standard normal noise of symbols ``at .. at + n - 1``, shape (n,).

        >>> Noise(seed=7).normal(0, 6)[4:].tolist() == Noise(seed=7).normal(4, 2).tolist()
        True
        """
        return self.add(np.zeros(n, np.float32), at, 1.0)

    def add(self, symbols: Symbols, at: int, std: float) -> Symbols:
        """Return ``symbols + std * noise``, computed in float32; shape (n,) in and out."""
        out = np.empty(len(symbols), np.float32)
        best_form()(out, symbols, at, float(std), np.uint64(self.seed), np.uint64(self.draw))
        return out

    def uniform(self, at: int, n: int) -> npt.NDArray[np.float64]:
        """Return numbers ``at .. at + n - 1``, uniform in 0 .. 1, both excluded, shape (n,).

        They are made of the words of which `normal` makes its numbers: of a branch, take one.

        >>> Noise(seed=7).uniform(0, 6)[4:].tolist() == Noise(seed=7).uniform(4, 2).tolist()
        True
        """
        first = at // 4
        words = _philox(first, (at + n + 3) // 4 - first, self.seed, self.draw)
        flat = words.T.reshape(-1)[at - 4 * first :][:n]
        return (flat.astype(np.float64) + 0.5) * 2.0**-32


@lru_cache(maxsize=1)
def best_form() -> Callable[..., None]:
    """Return `fused.add_noise_into`, or `add_noise_plainly_into` where numba is not installed.

    Numba takes a quarter of a second to import, so this happens at the first use.
    """
    try:
        from weightcast.noise.fused import add_noise_into
    except ModuleNotFoundError as missing:
        if missing.name not in ("numba", "llvmlite"):
            raise
        return add_noise_plainly_into
    return add_noise_into  # type: ignore[no-any-return]


def add_noise_plainly_into(
    out: Symbols, symbols: Symbols, at: int, std: float, seed: int, draw: int
) -> None:
    """Write ``symbols + std * noise`` to ``out`` with numpy alone, in chunks."""
    for start in range(0, len(symbols), _CHUNK):
        stop = min(start + _CHUNK, len(symbols))
        first = (at + start) // 4
        words = _philox(first, (at + stop + 3) // 4 - first, int(seed), int(draw))
        skip = at + start - 4 * first
        noise = _box_muller(words).reshape(-1)[skip : skip + stop - start]
        out[start:stop] = symbols[start:stop] + np.float32(std) * noise


def _philox(first: int, n: int, seed: int, draw: int) -> npt.NDArray[np.uint32]:
    """Return the words of counters ``first .. first + n - 1``, shape (4, n)."""
    counter = np.arange(first, first + n, dtype=np.uint64)
    c0, c1 = counter & _WORD, counter >> _SHIFT
    c2 = np.full(n, draw & 0xFFFFFFFF, np.uint64)
    c3 = np.full(n, draw >> 32, np.uint64)
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for _ in range(10):
        p0, p1 = c0 * np.uint64(0xD2511F53), c2 * np.uint64(0xCD9E8D57)
        c0, c2 = (p1 >> _SHIFT) ^ c1 ^ np.uint64(k0), (p0 >> _SHIFT) ^ c3 ^ np.uint64(k1)
        c1, c3 = p1 & _WORD, p0 & _WORD
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3]).astype(np.uint32)


def _box_muller(words: npt.NDArray[np.uint32]) -> Symbols:
    """Turn words, shape (4, n), into normal numbers, shape (n, 4)."""
    noise = np.empty((words.shape[1], 4), np.float32)
    for pair in (0, 2):
        radius = np.sqrt(np.float32(-2) * _log(words[pair]))
        cosine, sine = _cos_sin(words[pair + 1])
        noise[:, pair] = radius * cosine
        noise[:, pair + 1] = radius * sine
    return noise


def _log(word: npt.NDArray[np.uint32]) -> Symbols:
    """Natural logarithm of (word + 1/2) / 2**32, after Cephes ``logf``."""
    f = np.float32
    bits = (word.astype(f) * f(2.0**-32) + f(2.0**-33)).view(np.int32) + np.int32(0x004AFB0D)
    exponent = ((bits >> np.int32(23)) - np.int32(127)).astype(f)
    x = ((bits & np.int32(0x7FFFFF)) + np.int32(0x3F3504F3)).view(f) - f(1)
    z = x * x
    y = f(7.0376836292e-2) * x - f(1.1514610310e-1)
    for c in (1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1):
        y = y * x + f(c)
    for c in (2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1):
        y = y * x + f(c)
    y = y * x * z + exponent * f(-2.12194440e-4) - f(0.5) * z
    result: Symbols = (x + y) + exponent * f(0.693359375)
    return result


def _cos_sin(word: npt.NDArray[np.uint32]) -> tuple[Symbols, Symbols]:
    """Cosine and sine of 2 pi word / 2**32, after Cephes ``cosf`` and ``sinf``."""
    f = np.float32
    quadrant = (word + np.uint32(1 << 29)) >> np.uint32(30)
    rest = (word - (quadrant << np.uint32(30))).view(np.int32)
    x = rest.astype(f) * f(2 * np.pi / 2**32)
    z = x * x
    s = ((f(-1.9515295891e-4) * z + f(8.3321608736e-3)) * z + f(-1.6666654611e-1)) * z * x + x
    c = (f(2.443315711809948e-5) * z + f(-1.388731625493765e-3)) * z + f(4.166664568298827e-2)
    c = c * z * z - f(0.5) * z + f(1)
    odd = (quadrant & np.uint32(1)) == 1
    cosine, sine = np.where(odd, s, c), np.where(odd, c, s)
    minus_cosine = (quadrant == 1) | (quadrant == 2)
    return np.where(minus_cosine, -cosine, cosine), np.where(quadrant >= 2, -sine, sine)
