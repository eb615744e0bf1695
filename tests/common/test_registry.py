from typing import Any

import pytest

from weightcast.channels import CHANNELS
from weightcast.channels.awgn import AWGN
from weightcast.coding import SCHEMES
from weightcast.coding.adaptive_redundancy import AdaptiveRedundancy
from weightcast.errors import ParameterError, UnknownNameError
from weightcast.registry import build, params_of


def test_text_becomes_numbers() -> None:
    assert build(CHANNELS, "awgn", {"std": "0.25"}, "channel") == AWGN(std=0.25)
    made = build(SCHEMES, "adaptive-redundancy", {"r_large": "7", "n_large": "3"}, "scheme")
    assert made == AdaptiveRedundancy(r_large=7, n_large=3)


def test_params_of_an_object_build_it_again() -> None:
    scheme = AdaptiveRedundancy(n_large=None, r_small=2)
    assert build(SCHEMES, "adaptive-redundancy", params_of(scheme), "scheme") == scheme


@pytest.mark.parametrize(
    ("name", "params", "error", "message"),
    [
        (
            "adaptve",
            {},
            UnknownNameError,
            "no scheme 'adaptve'; known: adaptive-mapping, adaptive-",
        ),
        ("unprotected", {"std": 1}, ParameterError, "has no param 'std'; known: limit"),
        ("adaptive-mapping", {"n_large": "x"}, ParameterError, "must be an integer, got 'x'"),
        ("adaptive-mapping", {"n_large": "2.5"}, ParameterError, "must be an integer, got '2.5'"),
        ("adaptive-mapping", {"n_large": 2.5}, ParameterError, "must be an integer, got 2.5"),
        ("adaptive-mapping", {"n_large": True}, ParameterError, "must be a number, got True"),
        ("adaptive-mapping", {"n_large": float("inf")}, ParameterError, "an integer, got inf"),
        ("adaptive-mapping", {"large_fraction": "x"}, ParameterError, "be a number, got 'x'"),
        ("adaptive-mapping", {"large_fraction": None}, ParameterError, "be a number, got None"),
        ("adaptive-mapping", {"large_fraction": "nan"}, ParameterError, "in 0 .. 1, got nan"),
    ],
)
def test_what_cannot_be_built_is_explained(
    name: str, params: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(SCHEMES, name, params, "scheme")


def test_a_param_without_a_default_is_asked_for() -> None:
    with pytest.raises(ParameterError, match="channel 'awgn' needs the param 'std'"):
        build(CHANNELS, "awgn", {}, "channel")
