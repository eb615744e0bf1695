import math

import numpy as np
import pytest

from weightcast.errors import ParameterError
from weightcast.measure.capacity import (
    best_input,
    bpsk_capacity,
    capacity,
    capacity_bounds,
    mckellips_bound,
    opta_sdr_db,
)

# Smith 1971, computed independently to three decimals.
TABLE = {0.01: 5.626, 0.02: 4.654, 0.05: 3.412, 0.1: 2.537, 0.2: 1.759, 0.3: 1.364, 0.5: 0.942}
TABLE |= {0.7: 0.728, 1.0: 0.486, 2.0: 0.161}


@pytest.mark.parametrize("std", TABLE)
def test_capacity_agrees_with_the_table_within_5_thousandths_of_a_bit(std: float) -> None:
    assert capacity(std) == pytest.approx(TABLE[std], abs=0.005)


@pytest.mark.parametrize("std", [1e-4, 0.01, 0.0199, 0.02, 0.03, 0.1, 0.3, 0.59, 0.6, 1.0])
def test_capacity_is_known_to_0_0015_bit(std: float) -> None:
    lower, upper = capacity_bounds(std)
    assert lower <= capacity(std) <= upper
    assert upper - lower <= 0.003


@pytest.mark.parametrize("std", [0.02, 0.05, 0.1, 0.3, 0.59])
def test_no_input_between_the_points_of_the_grid_is_better_by_0_0015_bit(std: float) -> None:
    # Whatever the output density q of an input, C <= max over x of D(p(y|x) || q) (Blahut 1972).
    x, p, _ = best_input(std)
    y = np.arange(-1 - 9 * std, 1 + 9 * std, std / 8)

    def given(points: np.ndarray) -> np.ndarray:
        density = np.exp(-((y - points[:, None]) ** 2) / (2 * std**2))
        return density / (std * math.sqrt(2 * math.pi))

    q = p @ (given(x) + given(-x)) / 2
    between = np.interp(np.arange(0, len(x) - 1, 0.1), np.arange(len(x)), x)
    entropy = 0.5 * math.log(2 * math.pi * math.e * std**2)
    divergence = -(given(between) @ np.log(q)) * (std / 8) - entropy
    assert divergence.max() / math.log(2) <= capacity(std) + 0.0015


@pytest.mark.parametrize(
    ("std", "sdr"), [(0.01, 34.5), (0.05, 21.2), (0.1, 15.9), (0.5, 6.3), (1, 3.5)]
)
def test_the_optimum_for_laplacian_weights_agrees_with_the_table(std: float, sdr: float) -> None:
    assert opta_sdr_db(std) == pytest.approx(sdr, abs=0.1)


def test_the_optimum_without_noise_is_unlimited() -> None:
    assert opta_sdr_db(0) == math.inf


@pytest.mark.parametrize("std", [1e-6, 1e-3, 0.019, 0.05, 0.2, 0.6, 1, 30, 1e3, 1e6])
def test_capacity_stays_below_the_bound_of_mckellips(std: float) -> None:
    assert 0 < capacity(std) <= mckellips_bound(std) * (1 + 1e-9)


def test_capacity_falls_with_the_noise() -> None:
    stds = [10 ** (k / 8) for k in range(-24, 25)]
    values = [capacity(std) for std in stds]
    assert values == sorted(values, reverse=True)


def test_bpsk_in_strong_noise_has_the_capacity_of_a_gaussian_input() -> None:
    # C -> 1 / (2 std^2 ln 2); the next term is smaller by 1 / std^2.
    assert bpsk_capacity(1e3) == pytest.approx(1 / (2e6 * math.log(2)), rel=1e-5)


def test_bpsk_in_weak_noise_carries_one_bit() -> None:
    assert bpsk_capacity(0.1) == pytest.approx(1, abs=1e-9)


def test_a_link_without_noise_carries_any_number_of_bits() -> None:
    assert capacity(0) == math.inf


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf])
def test_an_impossible_std_is_refused(std: float) -> None:
    with pytest.raises(ParameterError, match="std must be finite and at least 0"):
        capacity(std)
