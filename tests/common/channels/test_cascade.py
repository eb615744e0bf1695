"""A cascade against the sum of independent variables."""

import math

import numpy as np
import pytest

from weightcast.channels import CHANNELS
from weightcast.channels.awgn import AWGN
from weightcast.channels.cascade import Cascade
from weightcast.channels.noiseless import Noiseless
from weightcast.errors import ParameterError, UnknownNameError
from weightcast.measure import capacity as limits
from weightcast.noise.gaussian import Noise
from weightcast.registry import build

N = 1_000_000
ZEROS = np.zeros(N, np.float32)


def test_two_stages_of_one_std_have_the_summed_variance() -> None:
    # With the same numbers in both stages the variance would be 4 std^2, not 2.
    cascade = Cascade(stages=(AWGN(std=0.5), AWGN(std=0.5)))
    noise = cascade.transmit(ZEROS, 0, Noise(seed=8)).astype("f8")
    standard_error = 0.5 * math.sqrt(2 / N)
    assert abs(np.mean(noise**2) - 0.5) <= 5 * standard_error
    assert 5 * standard_error < 0.5 * (10**0.1 - 1), "1 dB would go unseen"


def test_stages_inside_a_cascade_do_not_repeat_those_outside() -> None:
    inner = Cascade(stages=(AWGN(std=1.0),))
    first = Cascade(stages=(inner, Noiseless())).transmit(ZEROS, 0, Noise(seed=8)).astype("f8")
    second = Cascade(stages=(Noiseless(), AWGN(std=1.0))).transmit(ZEROS, 0, Noise(seed=8))
    assert abs(np.mean(first * second)) < 5 / math.sqrt(N)


def test_the_capacity_of_gaussian_stages_is_that_of_their_sum() -> None:
    cascade = Cascade(stages=(AWGN(std=0.3), Cascade(stages=(AWGN(std=0.4), Noiseless()))))
    assert cascade.capacity() == pytest.approx(limits.capacity(0.5))
    assert Cascade(stages=(Noiseless(),)).capacity() == math.inf


def test_a_cascade_is_built_from_nested_specs_and_from_text() -> None:
    spec = {"name": "cascade", "stages": [{"name": "awgn", "std": 0.1}, "noiseless"]}
    expected = Cascade(stages=(AWGN(std=0.1), Noiseless()))
    assert build(CHANNELS, spec) == expected
    text = '[{"name": "awgn", "std": 0.1}, "noiseless"]'
    assert build(CHANNELS, {"name": "cascade", "stages": text}, from_text=True) == expected


@pytest.mark.parametrize(
    ("stages", "error", "message"),
    [
        ([], ParameterError, "1 to 8 stages, got 0"),
        (["noiseless"] * 9, ParameterError, "1 to 8 stages, got 9"),
        ("awgn", ParameterError, "must be a list, got 'awgn'"),
        ([3], ParameterError, "a channel is a name or an object with one, got 3"),
        (["magic"], UnknownNameError, "no channel 'magic'"),
        ([{"name": "awgn", "std": -1}], ParameterError, "std must be in 0"),
    ],
)
def test_impossible_cascades_are_refused(stages, error, message) -> None:
    with pytest.raises(error, match=message):
        build(CHANNELS, {"name": "cascade", "stages": stages})
