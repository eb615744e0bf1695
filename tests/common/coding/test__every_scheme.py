"""What every scheme promises; a scheme without a case here fails."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightcast.arrays import BLOCK, blocks
from weightcast.channels.awgn import AWGN
from weightcast.channels.noiseless import Noiseless
from weightcast.coding import SCHEMES
from weightcast.coding.adaptive_mapping import AdaptiveMapping
from weightcast.coding.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.base import Scheme
from weightcast.coding.sign_protection import SignProtection
from weightcast.coding.unprotected import Unprotected
from weightcast.errors import ParameterError, WeightsError
from weightcast.pipeline import encode, transmit
from weightcast.randomness import Noise
from weightcast.registry import build, params_of

CASES: dict[str, list[Scheme[Any]]] = {
    "unprotected": [Unprotected(), Unprotected(limit=1.0)],
    "sign-protection": [SignProtection(), SignProtection(limit=1.0)],
    "adaptive-mapping": [
        AdaptiveMapping(large_fraction=0.1),
        AdaptiveMapping(n_large=0),
        AdaptiveMapping(large_fraction=0.1, limit=1.5),
        AdaptiveMapping(large_fraction=1.0),
    ],
    "adaptive-redundancy": [
        AdaptiveRedundancy(large_fraction=0.1, r_large=3),
        AdaptiveRedundancy(large_fraction=0.5, r_small=2, r_large=1),
        AdaptiveRedundancy(large_fraction=0.1, limit=1.0),
        AdaptiveRedundancy(n_large=0, r_small=3),
    ],
}
every_scheme = pytest.mark.parametrize(
    "scheme", [case for cases in CASES.values() for case in cases], ids=repr
)
WEIGHTS = np.random.Generator(np.random.Philox(5)).laplace(0, 0.05, 3 * BLOCK + 5).astype("f4")
ODD = {
    "all zero": np.zeros(70, np.float32),
    "minus zero": np.array([-0.0, 0.0, 1.0], np.float32),
    "a constant": np.full(130, -0.25, np.float32),
    "one weight": np.array([-3.5], np.float32),
    "two weights": np.array([-1, 2], np.float32),
    "the smallest": np.array([1e-45, -1e-45, 0], np.float32),
    "the largest": np.array([3.4028235e38, -3.4028235e38, 1], np.float32),
}


def spans_of(weights: np.ndarray) -> float:
    """Return the widest span a class can have; its float32 symbols resolve 2**-24 of it."""
    return float(weights.max()) - float(weights.min())


def test_every_scheme_has_a_case() -> None:
    assert CASES.keys() == SCHEMES.keys()
    for name, cases in CASES.items():
        assert all(type(case) is SCHEMES[name] for case in cases)


@every_scheme
def test_shapes_types_and_range_of_symbols_are_kept(scheme: Scheme[Any]) -> None:
    plan = scheme.plan(WEIGHTS)
    before = WEIGHTS.copy()
    n_symbols = 0
    for at, block, sent in encode(WEIGHTS, scheme, plan):
        assert sent.symbols.dtype == np.float32 and sent.symbols.ndim == 1
        assert np.abs(sent.symbols).max() <= 1
        assert set(sent.side) == set(scheme.side_names)
        assert all(len(bits) == (len(block) + 7) // 8 for bits in sent.side.values())
        assert scheme.symbols_of(plan, len(block), sent.side) == len(sent.symbols)
        assert np.array_equal(block, before[at : at + len(block)])
        n_symbols += len(sent.symbols)
    assert n_symbols == scheme.n_symbols(plan)
    assert np.array_equal(WEIGHTS, before)


@every_scheme
def test_symbols_reach_both_ends_of_the_range(scheme: Scheme[Any]) -> None:
    symbols = np.concatenate(
        [s.symbols for _, _, s in encode(WEIGHTS, scheme, scheme.plan(WEIGHTS))]
    )
    assert symbols.min() == -1 and symbols.max() == 1


@every_scheme
def test_a_clean_channel_gives_the_weights_back_within_rounding(scheme: Scheme[Any]) -> None:
    received = transmit(WEIGHTS, scheme, Noiseless(), Noise(seed=0))
    assert received.dtype == np.float32 and received.shape == WEIGHTS.shape
    # A symbol is off by at most 2**-25 (half the last place below 1), times half the span; then the
    # result is rounded once more.
    allowed = spans_of(WEIGHTS) / 2 * 2**-25 + np.abs(WEIGHTS) * 2.0**-24
    assert (np.abs(received.astype(np.float64) - WEIGHTS) <= allowed * 1.01).all()


@every_scheme
@pytest.mark.parametrize("name", ODD)
def test_odd_weights_survive_a_clean_channel(scheme: Scheme[Any], name: str) -> None:
    weights = ODD[name]
    received = transmit(weights, scheme, Noiseless(), Noise(seed=0))
    allowed = spans_of(weights) / 2 * 2**-25 + np.abs(weights.astype(np.float64)) * 2**-24 + 1e-45
    assert np.isfinite(received).all()
    assert (np.abs(received - weights.astype(np.float64)) <= allowed * 1.01).all()


@every_scheme
@pytest.mark.parametrize("std", [1e-3, 1.0, 1e6])
def test_noise_however_strong_leaves_finite_weights(scheme: Scheme[Any], std: float) -> None:
    for weights in (*ODD.values(), WEIGHTS[:1000]):
        assert np.isfinite(transmit(weights, scheme, AWGN(std=std), Noise(seed=3))).all()


@every_scheme
def test_a_limit_of_1_keeps_signs_and_spans(scheme: Scheme[Any]) -> None:
    scheme = dataclasses.replace(scheme, limit=1.0)  # type: ignore[type-var]
    received = transmit(WEIGHTS, scheme, AWGN(std=1.0), Noise(seed=3))
    assert np.abs(received).max() == np.abs(WEIGHTS).max()
    if "signs" in scheme.side_names:
        assert (received * WEIGHTS >= 0).all()


@every_scheme
@pytest.mark.parametrize("limit", [0.99, -1.0, np.nan, np.inf])
def test_a_limit_that_symbols_could_exceed_is_refused(scheme: Scheme[Any], limit: float) -> None:
    with pytest.raises(ParameterError, match=f"limit must be at least 1 and finite, got {limit}"):
        dataclasses.replace(scheme, limit=limit)  # type: ignore[type-var]


@every_scheme
def test_the_same_seed_gives_the_same_weights(scheme: Scheme[Any]) -> None:
    first, again, other = (
        transmit(WEIGHTS, scheme, AWGN(std=0.1), Noise(seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@every_scheme
def test_the_plan_and_the_params_survive_as_numbers_of_a_header(scheme: Scheme[Any]) -> None:
    name = next(name for name, cls in SCHEMES.items() if type(scheme) is cls)
    plan = scheme.plan(WEIGHTS)
    assert build(SCHEMES, name, params_of(scheme), "scheme") == scheme
    assert build({"plan": scheme.plan_type}, "plan", params_of(plan), "plan") == plan


@every_scheme
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_index(scheme: Scheme[Any], bad: float) -> None:
    weights = WEIGHTS[: BLOCK + 10].copy()
    plan = scheme.plan(weights)
    weights[BLOCK + 3] = bad
    with pytest.raises(WeightsError, match=f"weight {BLOCK + 3} is {bad}"):
        scheme.plan(weights)
    with pytest.raises(WeightsError, match=f"weight {BLOCK + 3} is {bad}"):
        list(encode(weights, scheme, plan))


@every_scheme
def test_no_weights_are_refused(scheme: Scheme[Any]) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        scheme.plan(np.zeros(0, np.float32))


@every_scheme
@settings(max_examples=40)
@given(
    weights=arrays(np.float32, st.integers(1, 300), elements=st.floats(-8, 8, width=32)),
    cut=st.integers(1, 5),
)
def test_blocks_of_any_size_give_the_same_symbols_and_side_bits(
    scheme: Scheme[Any], weights: np.ndarray, cut: int
) -> None:
    plan = scheme.plan(weights)
    whole = scheme.encode(plan, weights, 0)
    pieces = [scheme.encode(plan, block, at) for at, block in blocks(weights, size=8 * cut)]
    assert np.array_equal(whole.symbols, np.concatenate([piece.symbols for piece in pieces]))
    for name in scheme.side_names:
        joined = np.concatenate([piece.side[name] for piece in pieces])
        assert np.array_equal(whole.side[name], joined)
    decoded = [
        scheme.decode(plan, piece.symbols, len(block), piece.side)
        for piece, (_, block) in zip(pieces, blocks(weights, size=8 * cut), strict=True)
    ]
    received = scheme.decode(plan, whole.symbols, len(weights), whole.side)
    assert np.array_equal(received, np.concatenate(decoded))
