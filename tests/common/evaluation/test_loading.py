"""A network gets the tensors that are meant for it, whatever wrapped it; others are refused."""

import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from weightcast.errors import ModelError
from weightcast.evaluation.loading import loaded
from weightcast.models.wrappers import plain_names, strippings


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


class Wrapped(nn.Module):
    """A network whose own names begin like those of a wrapper."""

    def __init__(self) -> None:
        super().__init__()
        self.model = network()


def tensors(build: Callable[[], nn.Module] = network) -> dict[str, Tensor]:
    state: dict[str, Tensor] = build().state_dict()
    return state


def prefixed(prefix: str, found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in found.items()}


def check(found: nn.Module, given: dict[str, Tensor]) -> None:
    for name, tensor in found.state_dict().items():
        assert torch.equal(tensor, given[name])


def test_the_network_is_float32_in_evaluation_mode_and_without_gradients() -> None:
    given = {name: t.bfloat16() if t.dim() else t for name, t in tensors().items()}
    found = loaded(network, given, "net")
    assert not any(module.training for module in found.modules())
    assert not any(parameter.requires_grad for parameter in found.parameters())
    assert {p.dtype for p in found.parameters()} == {torch.float32}
    check(found, {name: t.float() if t.dim() else t for name, t in given.items()})


@pytest.mark.parametrize(
    "prefix", ["", "module.", "_orig_mod.module.", "model.module._orig_mod.", "model.model."]
)
@pytest.mark.parametrize("build", [network, Wrapped])
def test_prefixes_of_wrappers_make_no_difference(
    prefix: str, build: Callable[[], nn.Module]
) -> None:
    given = tensors(build)
    check(loaded(build, prefixed(prefix, given), "net"), given)


def test_a_prefix_that_only_some_tensors_have_stays() -> None:
    given = tensors()
    some = {("module." + n if n.startswith("3") else n): t for n, t in given.items()}
    with pytest.raises(ModelError, match=r"'3\.weight' is missing.*'module\.3\.weight' is not kno"):
        loaded(network, some, "net")


def test_a_counter_that_is_missing_is_0_and_scalars_more_are_ignored() -> None:
    given = tensors() | {"1.num_batches_tracked": torch.tensor(7)}
    assert int(loaded(network, given, "net").get_buffer("1.num_batches_tracked")) == 7
    del given["1.num_batches_tracked"]
    more = prefixed("module.", given) | {"n_averaged": torch.tensor(3)}
    assert int(loaded(network, more, "net").get_buffer("1.num_batches_tracked")) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"3.bias": None}, "'3.bias' is missing"),
        ({"more": torch.zeros(1)}, "'more' is not known"),
        ({"3.bias": torch.zeros(3)}, "'3.bias' has the shape (3,), expected (2,)"),
        ({"3.bias": torch.tensor(1.0)}, "'3.bias' has the shape (), expected (2,)"),
        (
            {"b": torch.zeros(2), "3.bias": None, "0.weight": torch.zeros(4, 3, 1, 1)},
            "'0.weight' has the shape (4, 3, 1, 1), expected (4, 3, 3, 3); '3.bias' is missing;"
            " 'b' is not known",
        ),
        (
            {f"{i}": torch.zeros(2) for i in range(5)},
            "'0' is not known; '1' is not known; '2' is not known and 2 more",
        ),
    ],
)
def test_other_tensors_are_refused_by_name(change: dict[str, Tensor | None], says: str) -> None:
    given = {name: t for name, t in (tensors() | change).items() if t is not None}
    with pytest.raises(ModelError) as refused:
        loaded(network, given, "net")
    assert str(refused.value) == f"not the tensors of net: {says}"


class Hidden(nn.Module):
    """A network with a tensor that is in no file."""

    def __init__(self, is_buffer: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)
        if is_buffer:
            self.register_buffer("scale", torch.full((2,), 3.0), persistent=False)
        else:
            self.scale = torch.full((2,), 3.0)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc(x) * self.scale
        return found


class Looking(Hidden):
    """A network that asks for the value of a tensor when it is built."""

    def __init__(self) -> None:
        super().__init__(is_buffer=True)
        self.is_positive = self.fc.weight.sum().item() > 0


@pytest.mark.parametrize("build", [lambda: Hidden(True), lambda: Hidden(False), Looking])
def test_what_is_not_in_the_file_is_as_it_was_built(build: Callable[[], nn.Module]) -> None:
    given = tensors(build)
    before = torch.get_rng_state()
    found = loaded(build, given, "net")
    assert torch.equal(torch.get_rng_state(), before)
    expected = 3 * nn.functional.linear(torch.eye(2), given["fc.weight"], given["fc.bias"])
    assert torch.equal(found(torch.eye(2)), expected)


def test_given_tensors_are_left_alone() -> None:
    given = tensors()
    before = {name: tensor.clone() for name, tensor in given.items()}
    loaded(network, given, "net")
    assert all(torch.equal(given[name], before[name]) for name in before)
    assert given["0.weight"].requires_grad is before["0.weight"].requires_grad


def test_prefixes_go_one_after_the_other() -> None:
    steps = list(strippings(["module.model.a", "module.model.b", "n"], scalars=["n"]))
    assert [list(step.values()) for step in steps] == [
        ["module.model.a", "module.model.b", "n"],
        ["model.a", "model.b", "n"],
        ["a", "b", "n"],
    ]
    assert plain_names(["module.a", "model.b"]) == {"module.a": "module.a", "model.b": "model.b"}
    assert plain_names(["module."]) == {"module.": "module."}
    assert plain_names([]) == {}


def test_names_do_not_import_torch() -> None:
    code = "import sys, weightcast.models.wrappers; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
