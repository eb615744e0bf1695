import math

import pytest

from weightcast.errors import ParameterError
from weightcast.limits import bpsk_capacity, capacity, capacity_bounds, mckellips_bound

# Smith 1971, computed independently to three decimals.
TABLE = {0.01: 5.626, 0.02: 4.654, 0.05: 3.412, 0.1: 2.537, 0.2: 1.759, 0.3: 1.364, 0.5: 0.942}
TABLE |= {0.7: 0.728, 1.0: 0.486, 2.0: 0.161}


@pytest.mark.parametrize("std", TABLE)
def test_capacity_agrees_with_the_table_within_5_thousandths_of_a_bit(std: float) -> None:
    assert capacity(std) == pytest.approx(TABLE[std], abs=0.005)


@pytest.mark.parametrize("std", [0.01, 0.02, 0.03, 0.1, 0.3, 0.59, 0.6, 1.0])
def test_capacity_lies_between_certified_bounds(std: float) -> None:
    lower, upper = capacity_bounds(std)
    assert lower - 1e-4 <= capacity(std) <= upper + 0.002
    assert upper - lower <= 0.001


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
