"""Which operations become one, and that all others stay as they are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock

from weightcast.errors import ModelError
from weightcast.evaluation.fusion import NAMES, OnePass, fused, in_one_pass, is_possible
from weightcast.evaluation.tracing import folded, normed_convolutions, traced
from weightcast.tasks.cifar10.convolution import MatrixConv2d

needs_operation = pytest.mark.skipif(not is_possible(), reason="torch lacks the operation here")

Step = Callable[[Tensor], Tensor]


class Net(nn.Module):
    """A convolution with batch norm, and what a test does with their result and the input."""

    def __init__(self, then: Callable[..., Tensor], layer: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = layer or nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self.norm(self.conv(x)), x)


def drawn(n: int = 2, n_channels: int = 4, side: int = 6, seed: int = 1) -> Tensor:
    return torch.randn(n, n_channels, side, side, generator=torch.Generator().manual_seed(seed))


def ready(network: nn.Module) -> nn.Module:
    """Return a network in evaluation mode whose numbers are drawn, none of them special."""
    chance = torch.Generator().manual_seed(2)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            values = torch.rand(tensor.shape, generator=chance)
            tensor.copy_(values + 0.5 if "var" in name else values - 0.5)
    return network.eval().requires_grad_(False)


def n_fused(network: nn.Module | None) -> int:
    assert network is not None
    return sum(isinstance(module, OnePass) for module in network.modules())


@torch.inference_mode()
def check(network: nn.Module, expected_fused: int) -> None:
    """The graph has so many fused convolutions and computes what the network does, in float32.

    36 products and a few sums of numbers below 10 leave less than 1e-5 of rounding of 6e-8.
    """
    x = drawn()
    graph = fused(ready(network))
    assert n_fused(graph) == (expected_fused if is_possible() else 0)
    assert graph is not None
    torch.testing.assert_close(graph(x.clone()), network(x.clone()), rtol=1e-5, atol=1e-5)


def in_place(y: Tensor, x: Tensor) -> Tensor:
    y += x
    return y.relu_()


@pytest.mark.parametrize(
    "then",
    [
        lambda y, x: functional.relu(y),
        lambda y, x: functional.relu(y, inplace=True),
        lambda y, x: torch.relu(y),
        lambda y, x: torch.relu_(y),
        lambda y, x: y.relu(),
        lambda y, x: y.relu_(),
        lambda y, x: functional.relu6(2 * x + functional.relu6(y)),
        lambda y, x: functional.hardtanh(y, -0.5, 0.7),
        lambda y, x: functional.hardtanh(y, min_val=-0.2),
        lambda y, x: functional.leaky_relu(y, 0.3),
        lambda y, x: functional.gelu(y),
        lambda y, x: functional.gelu(y, approximate="tanh"),
        lambda y, x: functional.hardswish(y),
        lambda y, x: functional.hardsigmoid(y),
        lambda y, x: functional.silu(y),
        lambda y, x: y.sigmoid(),
        lambda y, x: torch.tanh(y),
        lambda y, x: functional.relu(y + x),
        lambda y, x: functional.relu(x + y),
        lambda y, x: torch.add(x, y).relu(),
        lambda y, x: y.add(x) * 2,
        lambda y, x: functional.silu(x + y),
        lambda y, x: functional.dropout(y, training=False).relu(),
        in_place,
    ],
)
def test_what_follows_a_convolution_is_taken_in(then: Step) -> None:
    check(Net(then), 1)


@pytest.mark.parametrize("kind", [kind for kind in NAMES if kind is not nn.ReLU])
def test_modules_after_a_convolution_are_taken_in(kind: type[nn.Module]) -> None:
    check(nn.Sequential(nn.Conv2d(4, 4, 1), kind()), 1)
    check(nn.Sequential(nn.Conv2d(4, 4, 1), nn.Dropout(), nn.Identity(), kind()), 1)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_rectifier_is_taken_in(inplace: bool) -> None:
    check(nn.Sequential(nn.Conv2d(4, 4, 3, 2, 2, dilation=2), nn.ReLU(inplace)), 1)
    check(nn.Sequential(nn.Conv2d(4, 8, (3, 1), groups=2), nn.ReLU(inplace)), 1)


def changed_behind_its_back(y: Tensor, x: Tensor) -> Tensor:
    functional.relu(y, inplace=True)
    return y - 1


def changes_its_input(y: Tensor, x: Tensor) -> Tensor:
    x += y
    return x.relu() + x


def changes_what_has_another_name(y: Tensor, x: Tensor) -> Tensor:
    same = x
    x += y
    return x.relu() + same


def sum_later(y: Tensor, x: Tensor) -> Tensor:
    x.mul_(2)
    return y + x


@pytest.mark.parametrize(
    "then",
    [
        lambda y, x: functional.relu(y) + y,
        lambda y, x: (y + x).relu() * y,
        lambda y, x: y + y,
        lambda y, x: y + 1,
        lambda y, x: torch.add(y, x, alpha=3),
        lambda y, x: functional.elu(y),
        lambda y, x: functional.leaky_relu(x, 0.1) - y,
        changed_behind_its_back,
        changes_its_input,
        changes_what_has_another_name,
        sum_later,
    ],
)
def test_nothing_is_taken_in_that_something_else_sees_or_torch_cannot(then: Step) -> None:
    check(Net(then), 0)


def test_a_sum_that_is_used_twice_keeps_its_rectifier_outside() -> None:
    def then(y: Tensor, x: Tensor) -> Tensor:
        total = y + x
        return functional.relu(total) - total

    network = Net(then)
    check(network, 1)


def test_a_convolution_that_is_called_twice_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(self.conv(self.norm(self.conv(x)).relu()))

    check(Twice(), 0)
    assert normed_convolutions(Twice().eval()) == []


def test_a_sum_with_another_size_is_a_plain_sum() -> None:
    class Wider(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool, self.conv = nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return functional.relu(x + self.conv(self.pool(x)))

    check(Wider(), 1)


def test_the_sum_at_the_end_of_a_residual_block_is_taken_in() -> None:
    """By its last convolution: that of the shortcut, if it has one."""

    check(BasicBlock(4, 4), 2)
    shortcut = nn.Sequential(nn.Conv2d(4, 4, 1, 2), nn.BatchNorm2d(4))
    check(BasicBlock(4, 4, 2, shortcut), 2)


@pytest.mark.parametrize("padding", [{"padding": "same"}, {"padding_mode": "reflect"}])
def test_other_paddings_are_left_to_the_convolution(padding: dict[str, str]) -> None:
    layer = nn.Conv2d(4, 4, 3, **({"padding": 1} | padding))  # type: ignore[arg-type]
    check(Net(lambda y, x: y.relu(), layer), 0)


def test_batch_norm_folds_into_a_convolution_by_matrix_products() -> None:
    network = ready(Net(lambda y, x: y, MatrixConv2d(4, 4)))
    graph, x = folded(network), drawn()
    assert graph is not None
    assert not any(isinstance(module, nn.BatchNorm2d) for module in graph.modules())
    torch.testing.assert_close(graph(x), network(x))
    check(Net(lambda y, x: y.relu(), MatrixConv2d(4, 4)), 0)


def test_a_convolution_of_ones_own_keeps_its_batch_norm() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return functional.conv2d(x, self.weight / self.weight.std(), self.bias)

    network = ready(Net(lambda y, x: y.relu(), Standardised(4, 4, 1)))
    graph, x = fused(network), drawn()
    assert graph is not None and n_fused(graph) == 0
    torch.testing.assert_close(graph(x), network(x))
    assert normed_convolutions(network) == []


def test_batch_norm_that_does_not_follow_a_convolution_stays() -> None:
    check(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU()), 1)
    check(nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)), 1)


@pytest.mark.parametrize("name", ["conv", "norm"])
def test_hooks_keep_their_module(name: str) -> None:
    network = Net(lambda y, x: y.relu())
    network.get_submodule(name).register_forward_hook(lambda module, inputs, output: output + 1)
    check(network, 0)


def test_the_network_stays_as_it_is() -> None:
    network = ready(Net(lambda y, x: y.relu()))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    modules = list(network.modules())
    fused(network)
    assert list(network.modules()) == modules
    after = network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_arguments_that_have_a_default_keep_it() -> None:
    class Optional(nn.Module):
        def forward(self, x: Tensor, factor: float | None = None) -> Tensor:
            return x if factor is None else x * factor

    graph, x = folded(Optional()), drawn()
    assert graph is not None and torch.equal(graph(x), x)


class ByValue(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return -x if x.sum() > 0 else x


class BySize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([part * i for i, part in enumerate(x)])


class ByNumber(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([x[i] * i for i in range(x.shape[0])])


@pytest.mark.parametrize("network", [ByValue(), BySize(), ByNumber()])
def test_a_network_that_looks_at_its_input_has_no_graph(network: nn.Module) -> None:
    assert traced(network) is None
    assert folded(network) is None and fused(network) is None
    with pytest.raises(ModelError, match="cannot be traced"):
        normed_convolutions(network)


def test_convolutions_and_their_batch_norms_are_found_by_name() -> None:
    network = nn.Sequential(Net(lambda y, x: y.relu()), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    assert normed_convolutions(network.eval()) == [("0.conv", "0.norm"), ("1", "2")]


@needs_operation
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("is_added", [False, True])
def test_one_pass_in_bfloat16_gives_what_separate_steps_give(stride: int, is_added: bool) -> None:
    layer = nn.Conv2d(16, 32, 3, stride, padding=1).to(memory_format=torch.channels_last)
    layer.bias = nn.Parameter(torch.linspace(-1, 1, 32))
    x = drawn(2, 16, 8).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
    expected = layer(x.float())
    added = drawn(2, 32, 8 // stride, seed=3).to(torch.bfloat16) if is_added else None
    expected = functional.relu(expected if added is None else expected + added)
    with torch.inference_mode():
        found = OnePass(layer, nn.ReLU()).to(torch.bfloat16)(x, added)
    assert found.dtype == torch.bfloat16
    # Inputs are exact. Rounding moves a number by 2**-8 of itself at most: a weight, of spread
    # 0.05, which over 144 products with inputs of spread 1 makes a spread below 0.0024; a bias, of
    # at most 1; and the result.
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=5 * 0.0024 + 2**-8)


def test_a_copy_is_fused_and_the_folded_graph_is_not() -> None:
    graph = folded(ready(Net(lambda y, x: y.relu())))
    assert graph is not None
    assert n_fused(in_one_pass(graph)) == int(is_possible())
    assert n_fused(graph) == 0
