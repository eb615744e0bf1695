import math

import numpy as np
import pytest

from weightcast.measure.intervals import mean_and_interval, student_t


@pytest.mark.parametrize(
    ("degrees", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (29, 2.045)]
)
def test_the_quantile_is_that_of_the_printed_table(degrees: int, quantile: float) -> None:
    # Any table of Student's t, two-sided 95 %.
    assert student_t(degrees) == pytest.approx(quantile, abs=0.0006)


def test_the_quantile_of_many_degrees_is_that_of_a_normal_distribution() -> None:
    assert student_t(100_000) == pytest.approx(1.95996, abs=1e-4)


def test_the_interval_is_t_standard_errors_wide() -> None:
    # The standard deviation of 1, 2, 3 is 1, its standard error 1 / sqrt(3).
    mean, low, high = mean_and_interval([1, 2, 3])
    assert mean == 2
    assert high - 2 == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert low + high == pytest.approx(4)


@pytest.mark.slow
def test_the_interval_covers_the_true_mean_95_times_in_100() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    intervals = [mean_and_interval(rng.normal(3, 2, 5).tolist()) for _ in range(1000)]
    covered = sum(low <= 3 <= high for _, low, high in intervals)
    # Five standard errors of a binomial share of 0.95.
    assert abs(covered / 1000 - 0.95) <= 5 * math.sqrt(0.95 * 0.05 / 1000)


def test_one_value_has_no_interval() -> None:
    mean, low, high = mean_and_interval([7.0])
    assert mean == 7 and math.isnan(low) and math.isnan(high)
