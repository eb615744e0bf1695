"""What every scheme promises; a scheme without a case here fails."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from weightcast.arrays import BLOCK, blocks
from weightcast.channels import State
from weightcast.channels.awgn import AWGN
from weightcast.channels.noiseless import Noiseless
from weightcast.coding import SCHEMES
from weightcast.coding.base import Arrived, Scheme
from weightcast.coding.paper.adaptive_mapping import AdaptiveMapping
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.decoding import Decoder, Prior, Values
from weightcast.decoding.clipped import Clipped
from weightcast.decoding.inversion import Inversion
from weightcast.errors import WeightsError
from weightcast.pipeline import encode, plan_for, transmit
from weightcast.registry import build, spec_of
from weightcast.setup import Setup
from weightcast.wire import plans

CASES: dict[str, list[Scheme[Any]]] = {
    "unprotected": [Unprotected()],
    "sign-protection": [SignProtection()],
    "adaptive-mapping": [
        AdaptiveMapping(large_fraction=0.1),
        AdaptiveMapping(n_large=0),
        AdaptiveMapping(large_fraction=1.0),
    ],
    "adaptive-redundancy": [
        AdaptiveRedundancy(large_fraction=0.1, r_large=3),
        AdaptiveRedundancy(large_fraction=0.5, r_small=2, r_large=1),
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


def planned(scheme: Scheme[Any], weights: np.ndarray) -> Any:
    return plan_for(weights, Setup(scheme=scheme, channel=AWGN(std=0.1)))


def spans_of(weights: np.ndarray) -> float:
    """Return the widest span a class can have; its float32 symbols resolve 2**-24 of it."""
    return float(weights.max()) - float(weights.min())


def test_every_scheme_has_a_case() -> None:
    assert CASES.keys() == SCHEMES.keys()
    for name, cases in CASES.items():
        assert all(type(case) is SCHEMES[name] for case in cases)


@every_scheme
def test_shapes_types_and_range_of_symbols_are_kept(scheme: Scheme[Any]) -> None:
    plan = planned(scheme, WEIGHTS)
    before = WEIGHTS.copy()
    n_symbols = 0
    for at, block, sent in encode(WEIGHTS, scheme, plan):
        assert sent.symbols.dtype == np.float32 and sent.symbols.ndim == 1
        assert np.abs(sent.symbols).max() <= 1
        assert set(sent.side) == set(scheme.side_names)
        assert all(len(bits) == (len(block) + 7) // 8 for bits in sent.side.values())
        assert scheme.symbols_of(plan, at, len(block), sent.side) == len(sent.symbols)
        assert np.array_equal(block, before[at : at + len(block)])
        n_symbols += len(sent.symbols)
    assert n_symbols == scheme.n_symbols(plan)
    assert np.array_equal(WEIGHTS, before)


@every_scheme
def test_symbols_reach_both_ends_of_the_range(scheme: Scheme[Any]) -> None:
    symbols = np.concatenate(
        [s.symbols for _, _, s in encode(WEIGHTS, scheme, planned(scheme, WEIGHTS))]
    )
    assert symbols.min() == -1 and symbols.max() == 1


@every_scheme
def test_a_clean_channel_gives_the_weights_back_within_rounding(scheme: Scheme[Any]) -> None:
    received = transmit(WEIGHTS, Setup(scheme=scheme, channel=Noiseless(), seed=0))
    assert received.dtype == np.float32 and received.shape == WEIGHTS.shape
    # A symbol is off by at most 2**-25 (half the last place below 1), times half the span; then the
    # result is rounded once more.
    allowed = spans_of(WEIGHTS) / 2 * 2**-25 + np.abs(WEIGHTS) * 2.0**-24
    assert (np.abs(received.astype(np.float64) - WEIGHTS) <= allowed * 1.01).all()


@every_scheme
@pytest.mark.parametrize("name", ODD)
def test_odd_weights_survive_a_clean_channel(scheme: Scheme[Any], name: str) -> None:
    weights = ODD[name]
    received = transmit(weights, Setup(scheme=scheme, channel=Noiseless(), seed=0))
    allowed = spans_of(weights) / 2 * 2**-25 + np.abs(weights.astype(np.float64)) * 2**-24 + 1e-45
    assert np.isfinite(received).all()
    assert (np.abs(received - weights.astype(np.float64)) <= allowed * 1.01).all()


@every_scheme
@pytest.mark.parametrize("std", [1e-3, 1.0, 1e6])
def test_noise_however_strong_leaves_finite_weights(scheme: Scheme[Any], std: float) -> None:
    for weights in (*ODD.values(), WEIGHTS[:1000]):
        assert np.isfinite(
            transmit(weights, Setup(scheme=scheme, channel=AWGN(std=std), seed=3))
        ).all()


@every_scheme
def test_the_decoder_clipped_keeps_signs_and_spans(scheme: Scheme[Any]) -> None:
    setup = Setup(scheme=scheme, decoder=Clipped(), channel=AWGN(std=1.0), seed=3)
    received = transmit(WEIGHTS, setup)
    assert np.abs(received).max() == np.abs(WEIGHTS).max()
    if "signs" in scheme.side_names:
        assert (received * WEIGHTS >= 0).all()


@dataclass(frozen=True)
class Unfused:
    """A decoder that does the same as another one, but not while symbols become weights."""

    like: Decoder
    name: ClassVar[str] = "unfused"
    uses_state: ClassVar[bool] = False
    scope: ClassVar[None] = None
    limit: ClassVar[None] = None

    def estimate(self, y: Values, state: State | None, prior: Prior) -> Values:
        return self.like.estimate(y, state, prior)


@every_scheme
@pytest.mark.parametrize("decoder", [Inversion(), Clipped(limit=1.25)], ids=repr)
def test_a_decoder_of_ones_own_gives_the_bits_of_the_fused_one(
    scheme: Scheme[Any], decoder: Decoder
) -> None:
    setup = Setup(scheme=scheme, decoder=decoder, channel=AWGN(std=0.7), seed=3)
    own = dataclasses.replace(setup, decoder=Unfused(decoder))
    assert transmit(WEIGHTS, own).tobytes() == transmit(WEIGHTS, setup).tobytes()


@every_scheme
def test_the_same_seed_gives_the_same_weights(scheme: Scheme[Any]) -> None:
    first, again, other = (
        transmit(WEIGHTS, Setup(scheme=scheme, channel=AWGN(std=0.1), seed=seed))
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@every_scheme
def test_the_plan_and_the_params_survive_as_json(scheme: Scheme[Any]) -> None:
    assert build(SCHEMES, json.loads(json.dumps(spec_of(scheme)))) == scheme
    plan = planned(scheme, WEIGHTS)
    numbers = json.loads(json.dumps(plans.written(plan)))
    setup = Setup(scheme=scheme, channel=AWGN(std=0.1))
    assert plans.assembled(setup, numbers, plans.arrays_of(plan), ()) == plan


@every_scheme
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_index(scheme: Scheme[Any], bad: float) -> None:
    weights = WEIGHTS[: BLOCK + 10].copy()
    plan = planned(scheme, weights)
    weights[BLOCK + 3] = bad
    with pytest.raises(WeightsError, match=f"weight {BLOCK + 3} is {bad}"):
        planned(scheme, weights)
    with pytest.raises(WeightsError, match=f"weight {BLOCK + 3} is {bad}"):
        list(encode(weights, scheme, plan))


@every_scheme
def test_no_weights_are_refused(scheme: Scheme[Any]) -> None:
    with pytest.raises(WeightsError, match="no weights"):
        planned(scheme, np.zeros(0, np.float32))


@every_scheme
@settings(max_examples=40)
@given(
    weights=arrays(np.float32, st.integers(1, 300), elements=st.floats(-8, 8, width=32)),
    cut=st.integers(1, 5),
)
def test_blocks_of_any_size_give_the_same_symbols_and_side_bits(
    scheme: Scheme[Any], weights: np.ndarray, cut: int
) -> None:
    plan = planned(scheme, weights)
    whole = scheme.encode(plan, 0, weights)
    pieces = [scheme.encode(plan, at, block) for at, block in blocks(weights, size=8 * cut)]
    assert np.array_equal(whole.symbols, np.concatenate([piece.symbols for piece in pieces]))
    for name in scheme.side_names:
        joined = np.concatenate([piece.side[name] for piece in pieces])
        assert np.array_equal(whole.side[name], joined)
    decoded = [
        scheme.decode(plan, at, len(block), Arrived(piece.symbols), piece.side, Inversion())
        for piece, (at, block) in zip(pieces, blocks(weights, size=8 * cut), strict=True)
    ]
    received = scheme.decode(plan, 0, len(weights), Arrived(whole.symbols), whole.side, Inversion())
    assert np.array_equal(received, np.concatenate(decoded))
