import pytest
import torch
from torch import Tensor
from torch.nn import functional

from weightcast.tasks.cifar10.convolution import MatrixConv2d


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
