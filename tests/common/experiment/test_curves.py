"""Curves of accuracy over std, and where they fall."""

import math

import pytest

from weightcast.channels.awgn import AWGN
from weightcast.channels.noiseless import Noiseless
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.experiment.curves import cliff, curves, std_of
from weightcast.experiment.results import Row
from weightcast.experiment.runs import Run
from weightcast.setup import Setup


def row(std: float, accuracy: float) -> Row:
    setup = Setup(scheme=Unprotected(), channel=AWGN(std=std))
    figures = {
        "accuracy": accuracy,
        "clean_accuracy": 90.0,
        "uses_per_weight": 1.0,
        "all_in_uses_per_weight": 1.5,
    }
    return Row(Run(model="m", model_digest="0", setup=setup), figures)


def test_draws_are_gathered_by_std() -> None:
    found = curves([row(0.2, 50.0), row(0.1, 80.0), row(0.1, 90.0), row(0.1, 85.0)])
    assert list(found) == [("m", "unprotected")]
    curve = found["m", "unprotected"]
    assert list(curve) == [0.1, 0.2]
    # t of 2 degrees is 4.303; the standard deviation of 80, 85, 90 is 5.
    assert curve[0.1].mean == 85
    assert curve[0.1].half_width == pytest.approx(4.3027 * 5 / math.sqrt(3), rel=1e-3)
    assert str(curve[0.2]) == "50.00"


def test_a_channel_without_a_std_is_no_point_of_the_axis() -> None:
    assert std_of(AWGN(std=0.2)) == 0.2
    assert math.isnan(std_of(Noiseless()))


def test_the_cliff_is_found_between_two_stds() -> None:
    assert cliff([0.1, 1, 10], [90, 90, 10], 90, chance=10) == pytest.approx(math.sqrt(10))


def test_without_a_fall_there_is_no_cliff() -> None:
    assert math.isnan(cliff([0.1, 1], [90, 80], 90, chance=10))
    assert math.isnan(cliff([0.1, 1], [10, 10], 90, chance=10))
