import math

import pytest

from weightcast.errors import ParameterError
from weightcast.measure import units


def test_noise_of_a_tenth_of_the_peak_is_20_db_below_it() -> None:
    assert units.peak_snr_db(0.1) == pytest.approx(20)


def test_es_n0_of_a_real_use_is_half_the_average_snr() -> None:
    # Es = P = 1/3 for uniform symbols, N0 = 2 * 0.01.
    assert units.es_n0_db(0.1, 1 / 3) == pytest.approx(10 * math.log10(1 / 3 / 0.02))


def test_a_complex_use_carries_twice_the_energy_over_the_same_n0() -> None:
    assert units.complex_es_n0_db(0.1, 1 / 3) == pytest.approx(10 * math.log10(2 / 3 / 0.02))
    assert units.complex_noise_variance(0.1) == pytest.approx(0.02)


@pytest.mark.parametrize("std", [1e-4, 0.1, 1.0, 7.0])
def test_conversions_undo_each_other(std: float) -> None:
    assert units.std_from_peak_snr_db(units.peak_snr_db(std)) == pytest.approx(std)
    average = units.average_snr_db(std, 0.25)
    assert units.std_from_average_snr_db(average, 0.25) == pytest.approx(std)
    assert units.ratio(units.decibels(std)) == pytest.approx(std)


def test_uniform_symbols_lose_4_77_db_of_the_peak() -> None:
    lost = units.peak_snr_db(0.3) - units.average_snr_db(0.3, 1 / 3)
    assert lost == pytest.approx(10 * math.log10(3))


def test_an_exact_copy_has_infinite_sdr() -> None:
    assert units.sdr_db(1.0, 0.0) == math.inf


@pytest.mark.parametrize("std", [0.0, -0.1, math.nan, math.inf])
def test_an_impossible_std_is_refused(std: float) -> None:
    with pytest.raises(ParameterError, match="std must be finite and greater than 0"):
        units.peak_snr_db(std)
