"""The physics of channels with fading and erasures, each against its closed form."""

import math

import numpy as np
import pytest

from weightcast.channels.erasures import Erasures
from weightcast.channels.fading.blocks import blocks_of, largest_gain, rice_density
from weightcast.channels.fading.rayleigh import Rayleigh
from weightcast.channels.fading.rician import Rician
from weightcast.errors import ParameterError
from weightcast.measure.capacity import capacity
from weightcast.noise.gaussian import Noise

N = 200_000
ONE_DB = 10**0.1


def gains(channel: Rayleigh | Rician | Erasures, n: int = N) -> np.ndarray:
    """Return the gains of n blocks."""
    return np.asarray(channel.state(0, n * channel.block, Noise(seed=3)).gain)[:: channel.block]


def test_rayleigh_has_the_moments_of_its_law() -> None:
    g = gains(Rayleigh(std=0.1, block=2))
    # E[g] = sqrt(pi) / 2; g^2 is exponential: mean 1, variance 1. Five standard errors.
    assert np.mean(g**2) == pytest.approx(1, abs=5 / math.sqrt(N)) and 5 / math.sqrt(N) < 0.2
    assert np.mean(g) == pytest.approx(math.sqrt(math.pi) / 2, abs=5 * 0.4633 / math.sqrt(N))
    # A deep fade, below -10 dB, has the probability 1 - exp(-0.1).
    share = 1 - math.exp(-0.1)
    assert np.mean(g**2 < 0.1) == pytest.approx(share, abs=5 * math.sqrt(share / N))
    assert abs(ONE_DB * np.mean(g**2) - 1) > 5 / math.sqrt(N)


@pytest.mark.parametrize("factor", [0.0, 3.0, 100.0])
def test_rician_has_the_moments_of_its_law(factor: float) -> None:
    power = gains(Rician(std=0.1, factor=factor, block=1)) ** 2
    variance = (1 + 2 * factor) / (1 + factor) ** 2
    assert np.mean(power) == pytest.approx(1, abs=5 * math.sqrt(variance / N))
    assert np.var(power) == pytest.approx(variance, rel=0.05)


@pytest.mark.parametrize("factor", [0.0, 3.0, 100.0])
def test_the_density_is_one(factor: float) -> None:
    g = np.linspace(0, largest_gain(factor), 20_001)
    density = rice_density(g, factor)
    assert np.trapezoid(density, g) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(density * g**2, g) == pytest.approx(1, abs=1e-6)


def test_blocks_meet_one_gain_and_are_independent() -> None:
    whole = np.asarray(Rayleigh(std=0.1, block=50).state(0, 50 * 2_000, Noise(seed=1)).gain)
    table = whole.reshape(-1, 50)
    assert (table == table[:, :1]).all()
    g = table[:, 0] ** 2 - 1
    assert abs(np.mean(g[1:] * g[:-1])) < 5 / math.sqrt(len(g))


def test_interleaved_neighbours_are_in_different_blocks() -> None:
    index = blocks_of(0, 60, block=5, depth=4)
    assert np.array_equal(np.bincount(index), [5] * 12)
    assert all(len(set(index[i : i + 4])) == 4 for i in range(0, 60, 4))
    assert sorted(set(index[:20])) == [0, 1, 2, 3]


def test_ergodic_capacities_of_rayleigh() -> None:
    # Numbers of an independent computation, to two digits.
    assert Rayleigh(std=0.1).capacity() == pytest.approx(2.25, abs=0.005)
    assert Rayleigh(std=0.5).capacity() == pytest.approx(0.80, abs=0.005)
    g = gains(Rayleigh(std=0.5, block=1), 2_000)
    found = [capacity(round(0.5 / x, 3)) for x in g]
    assert np.mean(found) == pytest.approx(
        Rayleigh(std=0.5).capacity(), abs=5 * np.std(found) / math.sqrt(len(found))
    )


def test_a_line_of_sight_alone_is_awgn() -> None:
    assert Rician(std=0.3, factor=100.0).capacity() == pytest.approx(capacity(0.3), abs=0.02)
    assert Rician(std=0.3, factor=0.0).capacity() == Rayleigh(std=0.3).capacity()
    assert Rayleigh(std=0.0).capacity() == math.inf


def test_erasures_lose_their_share() -> None:
    channel = Erasures(std=0.2, probability=0.3, block=4)
    g = gains(channel)
    assert set(g) == {0.0, 1.0}
    assert np.mean(g == 0) == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / N))
    assert channel.capacity() == pytest.approx(0.7 * capacity(0.2))
    arrived = channel.transmit(np.ones(4_000, np.float32), 0, Noise(seed=3))
    lost = np.asarray(channel.state(0, 4_000, Noise(seed=3)).gain) == 0
    assert abs(np.mean(arrived[lost])) < 5 * 0.2 / math.sqrt(lost.sum())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Rayleigh(std=-1.0), "std must be in 0 .. 1e[+]06, got -1"),
        (lambda: Rayleigh(std=1.0, block=0), "block must be in 1 .. 2[*][*]40, got 0"),
        (lambda: Rician(std=1.0, block=2, depth=1 << 40), "depth times block must be in 1"),
        (lambda: Rician(std=1.0, factor=101.0), "factor must be in 0 .. 100, got 101"),
        (lambda: Erasures(std=1.0, probability=1.0), "probability must be in 0 .. 1, 1 excluded"),
        (lambda: Erasures(std=1.0, block=0), "block must be in 1"),
    ],
)
def test_params_that_there_cannot_be_are_refused(make: object, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()  # type: ignore[operator]
