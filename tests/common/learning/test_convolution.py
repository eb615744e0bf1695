import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from weightcast.learning.convolution import MatrixConv2d, rectified
from weightcast.learning.evaluation import folded


def drawn(*shape: int) -> Tensor:
    numbers = torch.Generator().manual_seed(sum(shape))
    found = torch.randn(shape, generator=numbers, dtype=torch.float64)
    return found.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 5, 8, 2), (3, 1, 2, 6)])
def test_output_and_gradients_are_those_of_the_library(
    shape: tuple[int, int, int, int], stride: int
) -> None:
    layer = MatrixConv2d(shape[1], 7, stride).double()
    x = drawn(*shape).requires_grad_()
    expected = functional.conv2d(x, layer.weight, stride=stride, padding=1)
    gradient = drawn(*expected.shape)
    wanted = torch.autograd.grad(expected, (x, layer.weight), gradient)

    found = layer(x)

    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, layer.weight), gradient), wanted, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_autocast_multiplies_in_bfloat16_and_keeps_the_gradient_in_float32() -> None:
    layer = MatrixConv2d(3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(drawn(2, 3, 4, 4).float())
    found.float().sum().backward()
    assert found.dtype == torch.bfloat16
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_batch_norm_folds_into_it() -> None:
    layer, norm = MatrixConv2d(3, 2), nn.BatchNorm2d(2)
    norm.running_mean = torch.tensor([0.5, -1.0])
    norm.running_var = torch.tensor([2.0, 0.3])
    model = nn.Sequential(layer, norm).eval()
    x = drawn(2, 3, 4, 4).float()
    expected = model(x)
    torch.testing.assert_close(folded(model)(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("is_added", [False, True])
def test_one_pass_in_bfloat16_gives_what_separate_steps_give(stride: int, is_added: bool) -> None:
    layer = nn.Conv2d(16, 32, 3, stride, padding=1).to(memory_format=torch.channels_last)
    x = drawn(2, 16, 8, 8).to(torch.bfloat16)
    layer.bias = nn.Parameter(torch.linspace(-1, 1, 32))
    expected = layer(x.float())
    added = drawn(*expected.shape).to(torch.bfloat16) if is_added else None
    expected = functional.relu(expected if added is None else expected + added)
    with torch.inference_mode():
        found = rectified(layer.to(torch.bfloat16), nn.Identity(), x, added)
    assert found.dtype == torch.bfloat16
    # Inputs are exact. Rounding moves a number by 2**-8 of itself at most: a weight, of spread
    # 0.05, which over 144 products with inputs of spread 1 makes a spread below 0.0024; a bias, of
    # at most 1; and the result.
    torch.testing.assert_close(found.float(), expected, rtol=2**-8, atol=5 * 0.0024 + 2**-8)


def test_batch_norm_that_is_not_folded_is_applied_before_the_sum() -> None:
    layer, norm = nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.BatchNorm2d(2)
    x, added = drawn(4, 3, 4, 4).float(), drawn(4, 2, 4, 4).float()
    expected = functional.relu(nn.BatchNorm2d(2)(layer(x)) + added)
    torch.testing.assert_close(rectified(layer, norm, x, added), expected)
