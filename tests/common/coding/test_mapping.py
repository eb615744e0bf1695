"""Scales, thresholds and repetitions against the formulas they stand for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightcast.channels.awgn import AWGN
from weightcast.channels.noiseless import Noiseless
from weightcast.coding.base import Arrived, Scheme
from weightcast.coding.paper.adaptive_mapping import AdaptiveMapping
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.paper.plans import ClassPlan, RangePlan, plan_classes
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.decoding.clipped import Clipped
from weightcast.errors import ParameterError
from weightcast.pipeline import transmit
from weightcast.setup import Setup

NOISELESS = Noiseless()
N = 1_000_000
WEIGHTS = np.random.Generator(np.random.Philox(6)).laplace(0, 0.05, N).astype(np.float32)


def expected_mse(scheme: Scheme, std: float) -> float:
    """Return std^2 / N (N_s / (alpha_s^2 r_s) + N_l / (alpha_l^2 r_l)), the paper's budget."""
    magnitudes = np.abs(WEIGHTS)
    if isinstance(scheme, Unprotected):
        return (std * (float(WEIGHTS.max()) - float(WEIGHTS.min())) / 2) ** 2
    if isinstance(scheme, SignProtection):
        return (std * (float(magnitudes.max()) - float(magnitudes.min())) / 2) ** 2
    n_large = scheme.n_large
    tau = float(np.sort(magnitudes)[-n_large])
    r_small, r_large = getattr(scheme, "r_small", 1), getattr(scheme, "r_large", 1)
    small = (N - n_large) * ((tau - float(magnitudes.min())) / 2) ** 2 / r_small
    large = n_large * ((float(magnitudes.max()) - tau) / 2) ** 2 / r_large
    return std**2 / N * (small + large)


@pytest.mark.parametrize(
    "scheme",
    [
        Unprotected(),
        SignProtection(),
        AdaptiveMapping(n_large=5000),
        AdaptiveMapping(n_large=N // 2),
        AdaptiveRedundancy(n_large=5000, r_large=10),
        AdaptiveRedundancy(n_large=N // 2, r_small=3, r_large=4),
    ],
    ids=repr,
)
def test_the_error_of_the_weights_is_the_noise_budget(scheme: Scheme) -> None:
    std = 0.2
    error = (
        transmit(WEIGHTS, Setup(scheme=scheme, channel=AWGN(std=std), seed=11)).astype(np.float64)
        - WEIGHTS
    )
    # The mean of N squared normal errors has a standard error of sqrt(2 / N) of itself; with two
    # classes of unequal noise it is that of the squares themselves.
    standard_error = float(np.std(error**2)) / math.sqrt(N)
    mse = float(np.mean(error**2))
    assert abs(mse - expected_mse(scheme, std)) <= 5 * standard_error
    assert 5 * standard_error < 0.1 * mse, "a deviation of 1 dB would go unseen"


def test_sign_protection_has_6_db_less_noise_on_symmetric_weights() -> None:
    weights = np.concatenate([WEIGHTS, -WEIGHTS])
    plain, protected = (
        Unprotected().plan(weights, (), NOISELESS),
        SignProtection().plan(weights, (), NOISELESS),
    )
    assert (plain.high - plain.low) / (protected.high - protected.low) == pytest.approx(2, 1e-4)


def test_a_limit_halves_the_error_of_the_smallest_magnitudes() -> None:
    weights = np.zeros(N, np.float32)
    weights[0] = 1
    std = 0.2  # So far from the other end that nothing reaches it.
    received = transmit(
        weights, Setup(scheme=SignProtection(), decoder=Clipped(), channel=AWGN(std=std), seed=12)
    )
    # Errors are max(0, z / 2): the mean of their squares is std^2 / 8. At unit variance max(0, z)^2
    # has the variance 3 / 2 - 1 / 4 = 5 / 4.
    mse = float(np.mean(received[1:].astype(np.float64) ** 2))
    assert abs(mse - std**2 / 8) <= 5 * std**2 / 4 * math.sqrt(5 / 4 / N)


def test_the_average_is_limited_not_what_it_is_made_of() -> None:
    scheme = AdaptiveRedundancy(n_large=0, r_small=3)
    plan = scheme.plan(np.array([0.0, 2.0], np.float32), (), NOISELESS)
    side = {"signs": np.zeros(1, np.uint8), "classes": np.zeros(1, np.uint8)}
    symbols = np.array([1.5, 0.75, 0.0, 1.5, 1.25, 1.0], np.float32)
    assert scheme.decode(plan, 0, 2, Arrived(symbols), side, Clipped()).tolist() == [1.75, 2.0]


def test_averaging_k_copies_divides_the_error_by_k() -> None:
    def mse(k: int) -> float:
        scheme = AdaptiveRedundancy(n_large=0, r_small=k)
        received = transmit(WEIGHTS, Setup(scheme=scheme, channel=AWGN(std=0.1), seed=4))
        return float(np.mean((received.astype(np.float64) - WEIGHTS) ** 2))

    assert mse(1) / mse(7) == pytest.approx(7, rel=5 * 2 * math.sqrt(2 / N))


def test_the_defaults_are_the_papers_numbers_for_resnet18() -> None:
    weights = np.zeros(11_164_352, np.float32)
    weights[::3] = 1
    scheme = AdaptiveRedundancy()
    plan = scheme.plan(weights, (), NOISELESS)
    assert plan.n_large == 6_998
    assert scheme.n_symbols(plan) == 11_227_334
    assert scheme.n_symbols(plan) / plan.n_weights < 1.006


@given(
    values=arrays(np.float32, st.integers(1, 200), elements=st.floats(-2, 2, width=16)),
    n_large=st.integers(0, 200),
)
def test_the_large_class_holds_exactly_the_n_largest_magnitudes(
    values: np.ndarray, n_large: int
) -> None:
    n_large = min(n_large, len(values))
    scheme = AdaptiveMapping(n_large=n_large)
    plan = scheme.plan(values, (), NOISELESS)
    classes = scheme.encode(plan, 0, values).side["classes"]
    is_large = np.unpackbits(classes, bitorder="little")[: len(values)].astype(bool)
    assert is_large.sum() == n_large == plan.n_large
    magnitudes = np.abs(values)
    if n_large:
        assert plan.threshold == np.sort(magnitudes)[-n_large]
        assert magnitudes[is_large].min() == plan.threshold
        assert not is_large.all() or plan.threshold == magnitudes.min()
        assert (magnitudes[~is_large] <= plan.threshold).all()


def test_a_share_is_rounded_to_the_nearest_number_of_weights() -> None:
    assert plan_classes(WEIGHTS[:1000], None, 0.0126).n_large == 13


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AdaptiveMapping(n_large=-1), "n_large must be at least 0, got -1"),
        (lambda: AdaptiveMapping(large_fraction=1.5), "large_fraction must be in 0 .. 1, got 1.5"),
        (lambda: AdaptiveRedundancy(r_small=0), "r_small must be in 1 .. 1000, got 0"),
        (lambda: AdaptiveRedundancy(r_large=1001), "r_large must be in 1 .. 1000, got 1001"),
        (
            lambda: AdaptiveMapping(n_large=9).plan(WEIGHTS[:8], (), NOISELESS),
            "at most the number of weights 8",
        ),
        (lambda: RangePlan(n_weights=0, low=0, high=1), "n_weights must be at least 1, got 0"),
        (lambda: RangePlan(n_weights=1, low=1, high=0), "high must be at least low = 1, got 0"),
        (lambda: RangePlan(n_weights=1, low=0, high=math.inf), "high must be finite"),
        (lambda: RangePlan(n_weights=1, low=math.nan, high=0), "low must be finite"),
        (lambda: class_plan(n_large=4), "n_large must be in 0 .. 3, got 4"),
        (lambda: class_plan(threshold=2.0), "high must be at least threshold = 2.0, got 1"),
        (lambda: class_plan(last_tie=3), "last_tie must be in -1 .. 2, got 3"),
    ],
)
def test_impossible_params_and_plans_are_refused(make, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        make()


def class_plan(**fields: float) -> ClassPlan:
    good = {"n_weights": 3, "n_large": 1, "low": 0, "threshold": 1, "high": 1, "last_tie": 0}
    return ClassPlan(**{**good, **fields})
