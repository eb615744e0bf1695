"""What every decoder promises; a decoder without a case here fails."""

import json
import math

import numpy as np
import pytest

from weightcast.channels import State
from weightcast.channels.awgn import AWGN
from weightcast.coding.base import Arrived
from weightcast.coding.combining import combined
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.decoding import DECODERS, Decoder, Prior
from weightcast.decoding.clipped import Clipped
from weightcast.decoding.half_normal import HalfNormal
from weightcast.decoding.inversion import Inversion
from weightcast.decoding.laplace import Laplace
from weightcast.decoding.lmmse import Lmmse
from weightcast.errors import ParameterError
from weightcast.pipeline import transmit
from weightcast.registry import build, spec_of
from weightcast.setup import Setup

CASES: dict[str, list[Decoder]] = {
    "inversion": [Inversion()],
    "clipped": [Clipped(), Clipped(limit=1.5)],
    "lmmse": [Lmmse(), Lmmse(scope="tensor")],
    "half-normal": [HalfNormal(), HalfNormal(scope="tensor")],
    "laplace": [Laplace(), Laplace(scope="filter")],
}
every_decoder = pytest.mark.parametrize(
    "decoder", [case for cases in CASES.values() for case in cases], ids=repr
)
Y = np.linspace(-3, 3, 1001)
STATE = State(1.0, 0.5)


def test_every_decoder_has_a_case() -> None:
    assert CASES.keys() == DECODERS.keys()
    for name, cases in CASES.items():
        assert all(type(case) is DECODERS[name] for case in cases)


@every_decoder
def test_its_spec_survives_json(decoder: Decoder) -> None:
    assert build(DECODERS, json.loads(json.dumps(spec_of(decoder)))) == decoder


@every_decoder
def test_shape_and_type_are_kept_and_the_input_is_left_alone(decoder: Decoder) -> None:
    y = Y.copy()
    prior = Prior(scale=np.full(len(y), 0.3), half=np.full(len(y), 0.5), is_magnitude=True)
    found = decoder.estimate(y, STATE if decoder.uses_state else None, prior)
    assert found.shape == y.shape and found.dtype == np.float64
    assert np.array_equal(y, Y) and np.isfinite(found).all()


@every_decoder
def test_a_limit_says_what_the_estimate_is(decoder: Decoder) -> None:
    if decoder.limit is not None:
        expected = np.clip(Y, -decoder.limit, decoder.limit)
        assert np.array_equal(decoder.estimate(Y, None, Prior()), expected)


@every_decoder
def test_what_is_sent_comes_back_from_a_clean_channel(decoder: Decoder) -> None:
    weights = np.linspace(-1, 1, 999, dtype=np.float32)
    setup = Setup(scheme=AdaptiveRedundancy(), decoder=decoder, channel=AWGN(std=0.0))
    assert np.abs(transmit(weights, setup) - weights).max() < 1e-6


@pytest.mark.parametrize("limit", [0.99, -1.0, math.nan, math.inf])
def test_a_limit_that_symbols_could_exceed_is_refused(limit: float) -> None:
    with pytest.raises(ParameterError, match=f"limit must be at least 1 and finite, got {limit}"):
        Clipped(limit=limit)


def test_without_a_state_repetitions_are_averaged() -> None:
    z, state = combined(Arrived(np.array([1, 2, 6, 5], np.float32)), np.array([3, 1]))
    assert z.tolist() == [3, 5] and state is None


def test_with_a_state_gains_are_taken_out_and_the_better_use_counts_more() -> None:
    # x = 0.5 through gains 1, 2 with std 1, 1: z = (1 y1 + 2 y2) / (1 + 4); then an erased symbol.
    arrived = np.array([0.7, 0.9, 4.0], np.float32)
    state = State(np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, 1.0]))
    z, found = combined(Arrived(arrived, state), np.array([2, 1]))
    assert found is not None
    assert z == pytest.approx([(0.7 + 2 * 0.9) / 5, 0])
    assert found.gain.tolist() == [1, 0] and found.std[0] == pytest.approx(1 / math.sqrt(5))


def test_combining_has_the_error_that_the_formula_tells() -> None:
    n, x = 200_000, 0.3
    rng = np.random.Generator(np.random.Philox(2))
    gain, std = np.tile([0.5, 1.0, 2.0], n), np.tile([0.4, 0.2, 1.0], n)
    y = gain * x + std * rng.standard_normal(3 * n)
    z, found = combined(Arrived(y.astype(np.float32), State(gain, std)), np.full(n, 3))
    expected = 1 / np.sum(np.array([0.5 / 0.4, 1 / 0.2, 2 / 1.0]) ** 2)
    assert found is not None and found.std[0] ** 2 == pytest.approx(expected)
    assert np.mean((z - x) ** 2) == pytest.approx(expected, rel=5 * math.sqrt(2 / n))


def test_constant_states_without_noise_are_defined() -> None:
    z, found = combined(Arrived(np.array([2.0, 2.0], np.float32), State(2.0, 0.0)), np.array([2]))
    assert found is not None and z.tolist() == [1.0] and found.std.tolist() == [0.0]
