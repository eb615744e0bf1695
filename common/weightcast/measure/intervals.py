"""Mean and confidence interval of a few independent draws."""

import math
from collections.abc import Sequence

import numpy as np


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (mean, low, high): the 95 % interval of the mean by Student's t.

    One value has no interval: low and high are nan.

    Source: Student, "The probable error of a mean", Biometrika 6, 1908.

    >>> mean_and_interval([1.0, 2.0, 3.0])[0]
    2.0
    """
    n = len(values)
    mean = float(np.mean(values))
    if n < 2:
        return mean, math.nan, math.nan
    half = student_t(n - 1) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


def student_t(degrees: int, probability: float = 0.975) -> float:
    """Return the quantile of Student's t distribution, by integrating its density.

    With t = sqrt(degrees) tan(a) the distribution has the density cos(a) ** (degrees - 1) up to a
    factor, on a bounded interval.
    """
    angles = np.linspace(0, math.pi / 2, 200_001)
    density = np.cos(angles) ** (degrees - 1)
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = float(np.interp((2 * probability - 1) * mass[-1], mass, angles))
    return math.sqrt(degrees) * math.tan(angle)
