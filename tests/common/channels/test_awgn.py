"""The noise is the experiment: its level, its shape and its independence, with fixed seeds."""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from weightcast.channels.awgn import AWGN
from weightcast.errors import ParameterError
from weightcast.noise.gaussian import Noise

N = 11_164_352
CHUNK = 1 << 20


def noise(std: float, seed: int, draw: int = 0) -> Iterator[np.ndarray]:
    """Yield the noise on N zero symbols in pieces, as float64."""
    for at in range(0, N, CHUNK):
        zeros = np.zeros(min(CHUNK, N - at), np.float32)
        yield AWGN(std=std).transmit(zeros, at, Noise(seed=seed, draw=draw)).astype("f8")


@pytest.mark.parametrize(("std", "seed"), [(0.1, 0), (1.0, 123), (1e-3, 2**64 - 1)])
def test_mean_and_variance_are_those_of_the_std_within_four_standard_errors(
    std: float, seed: int
) -> None:
    total = square = 0.0
    for piece in noise(std, seed):
        total += piece.sum()
        square += (piece**2).sum()
    assert abs(total / N) <= 4 * std / math.sqrt(N)
    # The variance of z^2 is 2: one standard error is sqrt(2 / N) = 0.04 %, 1 dB is 26 %.
    assert abs(square / N / std**2 - 1) <= 4 * math.sqrt(2 / N)


@pytest.mark.parametrize("sigmas", [4, 5])
def test_the_tails_have_the_weight_of_a_normal_distribution(sigmas: float) -> None:
    found = sum(int((np.abs(piece) > sigmas).sum()) for piece in noise(1.0, seed=5))
    expected = N * math.erfc(sigmas / math.sqrt(2))
    assert abs(found - expected) <= 4 * math.sqrt(expected)


def test_no_sample_is_beyond_the_documented_peak() -> None:
    peak = math.sqrt(2 * math.log(2**33))
    assert max(float(np.abs(piece).max()) for piece in noise(1.0, seed=6)) <= peak


def test_the_distribution_is_normal() -> None:
    # Kolmogorov-Smirnov: the largest distance is beyond 1.95 / sqrt(n) once in 1,000 samples.
    sample = np.sort(next(noise(1.0, seed=7))[:200_000])
    expected = np.array([math.erfc(-x / math.sqrt(2)) / 2 for x in sample.tolist()])
    n = len(sample)
    steps = np.arange(n + 1) / n
    distance = max((steps[1:] - expected).max(), (expected - steps[:-1]).max())
    assert distance <= 1.95 / math.sqrt(n)


def test_neighbouring_symbols_are_independent() -> None:
    z = next(noise(1.0, seed=8))
    for lag in (1, 2, 3, 4, 8, 2048):
        assert abs(float(np.mean(z[lag:] * z[:-lag]))) <= 4 / math.sqrt(len(z) - lag)


@pytest.mark.parametrize(
    "other",
    [Noise(seed=0, draw=1), Noise(seed=1), Noise(seed=2**32), Noise(seed=0, draw=2**32)],
    ids=repr,
)
def test_two_draws_or_seeds_never_share_noise(other: Noise) -> None:
    a, b = Noise(seed=0).normal(0, CHUNK), other.normal(0, CHUNK)
    correlation = float(np.mean(a.astype(np.float64) * b))
    assert abs(correlation) <= 4 / math.sqrt(CHUNK)
    assert np.mean(a == b) < 1e-4


def test_the_noise_does_not_depend_on_the_symbols() -> None:
    symbols = np.linspace(-1, 1, 10_000, dtype=np.float32)
    difference = AWGN(std=0.25).transmit(symbols, 3, Noise(seed=1)).astype("f8") - symbols
    wanted = 0.25 * Noise(seed=1).normal(3, 10_000).astype("f8")
    assert np.abs(difference - wanted).max() <= 2**-23


def test_std_0_changes_nothing() -> None:
    symbols = np.linspace(-1, 1, 999, dtype=np.float32)
    assert np.array_equal(AWGN(std=0.0).transmit(symbols, 0, Noise(seed=1)), symbols)


@pytest.mark.parametrize("std", [-0.1, math.nan, math.inf, 1e7])
def test_an_impossible_std_is_refused(std: float) -> None:
    with pytest.raises(ParameterError, match=r"std must be in 0 .. 1e\+06, got"):
        AWGN(std=std)
