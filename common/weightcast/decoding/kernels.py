"""Functions of probability that numpy does not have (numba)."""

import math

from weightcast.compiling import compiled

_ASYMPTOTIC_FROM = -12.0
"""Below it the first seven terms of the series are exact to 1e-9, and above it `erfc` is far from
the end of its range."""


@compiled
def inverse_mills_into(out, x):  # type: ignore[no-untyped-def]
    """Write phi(x) / Phi(x) to ``out``, element by element.

    Below -12 by the asymptotic series of Mills' ratio: Abramowitz & Stegun, *Handbook of
    Mathematical Functions*, 26.2.12.
    """
    for i in range(len(x)):
        v = x[i]
        if v >= _ASYMPTOTIC_FROM:
            out[i] = math.sqrt(2 / math.pi) * math.exp(-v * v / 2) / math.erfc(-v / math.sqrt(2.0))
        else:
            r = 1 / (v * v)
            series = 1 - r * (1 - r * (3 - r * (15 - r * (105 - r * (945 - r * 10395)))))
            out[i] = -v / series
