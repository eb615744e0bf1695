import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.channels.awgn import AWGN
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.paper.plans import ClassPlan
from weightcast.errors import FormatError, ParameterError, UnknownNameError
from weightcast.models.tensors import Tensor
from weightcast.models.weights import Layout
from weightcast.setup import Setup
from weightcast.wire.header import MAX_HEADER_BYTES, Header, parse_header
from weightcast.wire.transmission import announce, check

LAYOUT = Layout(
    (Tensor("a.weight", "F32", (4, 5)), Tensor("b.weight", "BF16", (2, 10))),
    (Tensor("a.bias", "F32", (4,)), Tensor("steps", "I64", ())),
)


def header(**changes: Any) -> Header:
    plan = ClassPlan(n_weights=40, n_large=2, low=0, threshold=0.5, high=1, last_tie=7)
    setup = Setup(scheme=AdaptiveRedundancy(n_large=2), channel=AWGN(std=0.1), seed=2**64 - 1)
    made = announce("small", LAYOUT, setup, plan)
    return made.model_copy(update=changes)


def text(**changes: Any) -> bytes:
    fields = json.loads(header().to_bytes())
    for path, value in changes.items():
        inner = fields
        *outer, last = path.split("__")
        for key in outer:
            inner = inner[key]
        inner[last] = value
    return json.dumps(fields).encode()


def test_a_header_survives_its_bytes() -> None:
    assert parse_header(header().to_bytes()) == header()


def test_what_a_header_names_is_built() -> None:
    built = check(parse_header(header().to_bytes()))
    assert built.setup.scheme == AdaptiveRedundancy(n_large=2)
    assert built.setup.channel == AWGN(std=0.1)
    assert built.layout == LAYOUT
    assert built.header.n_symbols == 38 + 2 * 10


def test_the_last_part_is_shorter() -> None:
    long = header(n_symbols=2 * (1 << 20) + 3)
    assert [long.part_bytes(n) for n in range(long.n_parts)] == [4 << 20, 4 << 20, 12]
    for n in (-1, 3):
        with pytest.raises(FormatError, match=f"there is no part {n}; parts are 0 .. 2"):
            long.part_bytes(n)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 30_000, "not JSON"),
        (b"[]", "header"),
        (b"null", "header"),
        (text() + b" " * MAX_HEADER_BYTES, "at most 16777216 are allowed"),
        (text()[:-1] + b', "n_weights": 1}', "a name twice"),
        (text(setup__seed=float("nan")), "NaN; numbers must be finite"),
        (text(plan__low=float("inf")), "Infinity; numbers must be finite"),
        (text().replace(b'"low": 0,', b'"low": 1e400,'), "1e400; numbers must be finite"),
        (text(version=1), "version 1; known: 2"),
        (text(version="1"), "version '1'; known: 2"),
        (text(surprise=1), "surprise: Extra inputs"),
        (text(setup=[]), "setup: "),
        (text(setup={str(i): i for i in range(65)}), "setup: .*at most 64"),
        (text(plan__x=["F32", [1 << 25]]), "arrays take 134217728 bytes, at most 67108864"),
        (text(plan__x=["F31", [1]]), "type 'F31'"),
        (text(n_weights="40"), "n_weights: .*integer"),
        (text(n_weights=41), "n_weights is 41, the shapes hold 40"),
        (text(n_symbols=0), "n_symbols: "),
        (text(weights=[]), "weights: .*at least 1"),
        (text(weights=[["a", "F32", [8, -5]]]), "weights.0.2.1: "),
        (text(weights=[["a", "F32", [2**40, 2**40]]]), "the shapes hold 12089"),
        (text(weights=[["a", "F32", [1] * 65]]), "at most 64"),
        (text(weights=[["b", "F32", [20]], ["a", "F32", [20]]]), "not sorted by name"),
        (text(weights=[["a.bias", "F32", [40]]]), "a tensor name appears twice"),
        (text(weights=[["a", "F31", [40]]]), "the type 'F31', which is not known"),
        (text(plan__x="y"), "plan.x"),
        (text(plan__high=None), "plan.high"),
    ],
)
def test_a_broken_header_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse_header(body)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"setup__scheme": "magic"},
            UnknownNameError,
            "no scheme 'magic'; known: adaptive-",
        ),
        ({"setup__channel": "magic"}, UnknownNameError, "no channel 'magic'; known: awgn, cas"),
        ({"setup__scheme__r_small": 0}, ParameterError, "r_small must be in 1"),
        ({"setup__scheme__r_wrong": 1}, ParameterError, "has no param 'r_wrong'"),
        ({"setup__scheme__r_large": 2.5}, ParameterError, "'r_large', must be an integer, got 2.5"),
        ({"setup__channel__std": -1}, ParameterError, "std must be in 0"),
        ({"setup__decoder": "magic"}, UnknownNameError, "no decoder 'magic'; known: clipped, half"),
        ({"setup__task": "magic"}, UnknownNameError, "no task 'magic'; known: cifar10, mnist"),
        ({"setup__surprise": 1}, ParameterError, "setup has no param 'surprise'; known: channel"),
        ({"setup__seed": -1}, ParameterError, "seed must be in 0"),
        ({"setup__seed": 2**64}, ParameterError, "seed must be in 0"),
        ({"setup__seed": 1.5}, ParameterError, "'seed', must be an integer, got 1.5"),
        ({"setup__seed": True}, ParameterError, "'seed', must be an integer, got True"),
        ({"setup__seed": "1"}, ParameterError, "'seed', must be an integer, got '1'"),
        ({"setup__split": "all"}, ParameterError, "must be one of train, validation, test"),
        ({"setup__n_samples": 0}, ParameterError, "n_samples must be at least 1"),
        ({"plan__n_weights": 41}, FormatError, "n_weights is 40, the plan has 41"),
        ({"plan__n_large": 41}, ParameterError, "n_large must be in 0 .. 40"),
        ({"plan__high": 1e39}, ParameterError, "high must be finite in float32"),
        ({"n_symbols": 59}, FormatError, "n_symbols is 59, scheme and plan give 58"),
    ],
)
def test_a_header_whose_numbers_disagree_is_refused(
    changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(parse_header(text(**changes)))


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    with pytest.raises(FormatError):
        parse_header(body)
