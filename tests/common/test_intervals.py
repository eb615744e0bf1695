import math

import numpy as np
import pytest
from scipy import stats

from weightcast.intervals import mean_and_interval, student_t


@pytest.mark.parametrize("degrees", [1, 2, 3, 9, 29, 1000])
def test_the_quantile_is_that_of_students_t(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-4)


def test_the_interval_covers_the_true_mean_95_times_in_100() -> None:
    rng = np.random.Generator(np.random.Philox(1))
    intervals = [mean_and_interval(rng.normal(3, 2, 5).tolist()) for _ in range(1000)]
    covered = sum(low <= 3 <= high for _, low, high in intervals)
    # Five standard errors of a binomial share of 0.95.
    assert abs(covered / 1000 - 0.95) <= 5 * math.sqrt(0.95 * 0.05 / 1000)


def test_one_value_has_no_interval() -> None:
    mean, low, high = mean_and_interval([7.0])
    assert mean == 7 and math.isnan(low) and math.isnan(high)
