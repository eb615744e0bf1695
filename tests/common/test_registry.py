import dataclasses
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar

import pytest

from weightcast.channels import CHANNELS
from weightcast.channels.awgn import AWGN
from weightcast.coding import SCHEMES
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.decoding import DECODERS
from weightcast.errors import ParameterError, UnknownNameError
from weightcast.registry import Kind, build, spec_of
from weightcast.tasks import TASKS

KINDS = (SCHEMES, DECODERS, CHANNELS, TASKS)


def test_text_becomes_numbers() -> None:
    spec = {"name": "awgn", "std": "0.25"}
    assert build(CHANNELS, spec, from_text=True) == AWGN(std=0.25)
    spec = {"name": "adaptive-redundancy", "r_large": "7", "n_large": "3"}
    made = build(SCHEMES, spec, from_text=True)
    assert made == AdaptiveRedundancy(r_large=7, n_large=3)
    spec = {"name": "adaptive-redundancy", "n_large": "none"}
    assert build(SCHEMES, spec, from_text=True).n_large is None


def test_text_is_no_number_where_nobody_typed_it() -> None:
    with pytest.raises(ParameterError, match=r"must be a number, got '0\.25'"):
        build(CHANNELS, {"name": "awgn", "std": "0.25"})


def test_a_name_alone_is_a_spec() -> None:
    assert build(SCHEMES, "adaptive-redundancy") == AdaptiveRedundancy()


def test_the_spec_of_an_object_builds_it_again() -> None:
    scheme = AdaptiveRedundancy(n_large=None, r_small=2)
    assert build(SCHEMES, spec_of(scheme)) == scheme


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.noun)
def test_everything_stands_under_its_own_name_and_its_defaults_survive(kind: Kind[Any]) -> None:
    for name, cls in kind.items():
        assert cls.name == name
        if all(f.default is not dataclasses.MISSING for f in dataclasses.fields(cls)):
            assert build(kind, spec_of(cls())) == cls()


@dataclass(frozen=True, kw_only=True)
class Odd:
    """Params of every type."""

    name: ClassVar[str] = "odd"

    text: str = "a"
    flag: bool = False
    many: tuple[float, ...] = ()
    maybe: str | None = None

    def do(self) -> None:
        """Do nothing."""


ODD: Kind[Any] = Kind("oddity", ("do",), (Odd,))


def test_params_of_every_type_are_read_and_survive() -> None:
    made = build(ODD, {"name": "odd", "text": "7", "flag": True, "many": [1, 2.5], "maybe": "x"})
    assert made == Odd(text="7", flag=True, many=(1.0, 2.5), maybe="x")
    assert build(ODD, spec_of(made)) == made
    spec = {"name": "odd", "text": "7", "flag": "true", "many": "[1, 2.5]", "maybe": "none"}
    assert build(ODD, spec, from_text=True) == Odd(text="7", flag=True, many=(1.0, 2.5))


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        ("text", 7, "must be a text, got 7"),
        ("flag", 1, "must be true or false, got 1"),
        ("many", 1, "must be a list, got 1"),
        ("many", [True], "must be a number, got True"),
        ("maybe", {}, "must be a text, got {}"),
    ],
)
def test_params_of_the_wrong_type_are_refused(param: str, value: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=f"oddity 'odd', param '{param}', {message}"):
        build(ODD, {"name": "odd", param: value})


@dataclass(frozen=True)
class Another:
    """Has a name that is taken."""

    name: ClassVar[str] = "odd"

    def do(self) -> None:
        """Do nothing."""


def test_a_name_is_given_once() -> None:
    ODD.add(Odd)
    with pytest.raises(ParameterError, match="there is a oddity 'odd' already"):
        ODD.add(Another)


def test_what_lacks_a_method_is_refused_by_the_name_of_the_method() -> None:
    @dataclass(frozen=True)
    class Lame:
        name: ClassVar[str] = "lame"

    with pytest.raises(ParameterError, match="the oddity 'lame' lacks do"):
        ODD.add(Lame)


def entry(name: str, value: str) -> metadata.EntryPoint:
    return metadata.EntryPoint(name, value, "weightcast.channels")


def test_entry_points_are_loaded_when_they_are_asked_for(monkeypatch) -> None:
    found = [entry("awgn", "nowhere:Nothing"), entry("other", "weightcast.channels.awgn:AWGN")]
    monkeypatch.setattr("weightcast.registry.entry_points", lambda group: found)
    kind: Kind[Any] = Kind("channel", ("transmit",), (AWGN,))
    assert set(kind) == {"awgn", "other"} and len(kind) == 2
    assert kind["awgn"] is AWGN, "what is built in comes first"
    with pytest.raises(ParameterError, match=r"entry point 'other' .* is a channel 'awgn'"):
        kind["other"]
    monkeypatch.setattr(Kind, "takes_installed", False)
    assert set(Kind("channel", ("transmit",), (AWGN,))) == {"awgn"}


@pytest.mark.parametrize(
    ("name", "params", "error", "message"),
    [
        (
            "adaptve",
            {},
            UnknownNameError,
            "no scheme 'adaptve'; known: adaptive-mapping, adaptive-",
        ),
        ("unprotected", {"std": 1}, ParameterError, "has no param 'std'; known: none"),
        ("adaptive-mapping", {"n_large": "x"}, ParameterError, "must be an integer, got 'x'"),
        ("adaptive-mapping", {"n_large": "2.5"}, ParameterError, "must be an integer, got 2.5"),
        ("adaptive-mapping", {"n_large": 2.5}, ParameterError, "must be an integer, got 2.5"),
        ("adaptive-mapping", {"n_large": True}, ParameterError, "must be an integer, got True"),
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
        build(SCHEMES, {"name": name} | params, from_text=True)


def test_a_param_without_a_default_is_asked_for() -> None:
    with pytest.raises(ParameterError, match="channel 'awgn' needs the param 'std'"):
        build(CHANNELS, "awgn")
