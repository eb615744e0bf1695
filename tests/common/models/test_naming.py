import pytest

from weightcast.models.naming import chosen_by, difference, matches, shown, without_wrappers
from weightcast.models.tensors import Tensor

TENSORS = [
    Tensor(name, "F32", (2, 2) if name != "b.bias" else (2,))
    for name in ("a.weight", "b.bias", "b.weight", "c.weight", "none")
]


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ([], [], ["a.weight", "b.weight", "c.weight", "none"]),
        (["a*", "b*"], [], ["a.weight", "b.weight"]),
        (["[ab].*"], [], ["a.weight", "b.weight"]),
        (["?.weight"], [], ["a.weight", "b.weight", "c.weight"]),
        (["!a.*"], [], ["b.weight", "c.weight", "none"]),
        ([], ["*weight"], ["none"]),
        ([], ["!*.weight"], ["a.weight", "b.weight", "c.weight"]),
        (["*weight"], ["b*"], ["a.weight", "c.weight"]),
        (["*bias"], [], []),
        (["weight"], [], []),
        (["[", "("], [], []),
    ],
)
def test_patterns_choose_among_the_matrices(
    include: list[str], exclude: list[str], chosen: list[str]
) -> None:
    choose = chosen_by(include, exclude)
    assert [tensor.name for tensor in TENSORS if choose(tensor)] == chosen


def test_patterns_that_match_nothing_are_found() -> None:
    choose = chosen_by(["weight$", "a.*"], ["!*", "z"])
    assert choose.idle(TENSORS) == ["weight$", "!*", "z"]


def test_capital_letters_differ() -> None:
    assert not matches("A.weight", "a.*")


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["module.a.w", "module.b.w"], ["a.w", "b.w"]),
        (["_orig_mod.module.a.w"], ["a.w"]),
        (["model.a.w", "head.w"], ["model.a.w", "head.w"]),
        (["model.a.w", "epoch"], ["a.w", "epoch"]),
        (["model.a", "a"], ["model.a", "a"]),
        (["a", "b"], ["a", "b"]),
        ([], []),
    ],
)
def test_prefixes_of_wrappers_go(names: list[str], wanted: list[str]) -> None:
    assert without_wrappers(names) == dict(zip(wanted, names, strict=True))


def test_what_differs_is_named() -> None:
    other = [Tensor("a.weight", "F32", (3, 2)), *TENSORS[2:], Tensor("d", "F32", (1,))]
    assert difference(TENSORS, TENSORS) == ""
    assert difference(other, TENSORS) == (
        "missing: 'b.bias'; not expected: 'd';"
        " of another shape: 'a.weight' ([3, 2], expected [2, 2])"
    )


def test_a_name_is_shown_on_one_short_line() -> None:
    assert shown("a.weight") == "'a.weight'"
    assert shown("a\nb\x1b[1m") == r"'a\nb\x1b[1m'"
    assert len(shown("é" * 600)) < 90
