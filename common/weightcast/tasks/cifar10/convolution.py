"""A 3x3 convolution as products of matrices, for many channels on a small image."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional, grad


class MatrixConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` of 3x3 pixels, padding 1, whose forward and backward are matrix products.

    The columns of an image (each pixel with its 8 neighbours) are laid out in memory: nine times
    the input, little where the image is small, and then the product runs at the full speed of the
    machine, which with AMX the library's own of 512 channels miss by far (`docs/training.md`).

    Args:
        n_in, n_out: channels.
        stride: of the output.

    Source: Chellapilla, Puri & Simard, "High performance convolutional neural networks for
    document processing", 2006, section 3.
    """

    is_plain_convolution: ClassVar[bool] = True
    """With the same weight and bias it computes what `torch.nn.Conv2d` does."""

    def __init__(self, n_in: int, n_out: int, stride: int = 1) -> None:
        super().__init__(n_in, n_out, 3, stride, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to (n, n_out, h / stride, w / stride), channels_last."""
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            x, weight = x.to(torch.bfloat16), weight.to(torch.bfloat16)
        y: Tensor = _Convolution.apply(x, weight, self.stride[0])
        return y if self.bias is None else y + self.bias[:, None, None]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        found = columns(x, stride)
        ctx.save_for_backward(weight, found)
        ctx.shape, ctx.stride = x.shape, stride
        return _image(found @ _matrix(weight).T, x.shape, stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, found = ctx.saved_tensors
        (gradient,) = gradients
        n_out, n_in = weight.shape[:2]
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, n_out)
        of_weight = (rows.T @ found).view(n_out, 3, 3, n_in).permute(0, 3, 1, 2)
        if ctx.stride == 1:
            turned = weight.permute(2, 3, 0, 1).flip(0, 1).reshape(-1, n_in)
            of_x = _image(columns(gradient, 1) @ turned, ctx.shape, 1)
        else:
            of_x = grad.conv2d_input(  # type: ignore[no-untyped-call]
                ctx.shape, weight, gradient, ctx.stride, 1
            )
        return of_x, of_weight, None


def columns(x: Tensor, stride: int) -> Tensor:
    """Lay out each output pixel's 3x3 neighbourhood, zeros outside the image.

    Args:
        x: shape (n, c, h, w).
        stride: of the output pixels; divides h and w.

    Returns:
        Shape (n * h / stride * w / stride, 9 * c): the channels of the first neighbour, then of the
        next, row by row.
    """
    n, c, h, w = x.shape
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    image, row, pixel, channel = padded.stride()
    shape = (n, h // stride, w // stride, 3, 3, c)
    strides = (image, stride * row, stride * pixel, row, pixel, channel)
    return padded.as_strided(shape, strides).reshape(-1, 9 * c)


def _matrix(weight: Tensor) -> Tensor:
    """Turn a weight (n_out, n_in, 3, 3) into a matrix (n_out, 9 * n_in) in the order of columns."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _image(rows: Tensor, of: torch.Size, stride: int) -> Tensor:
    """Turn a row per output pixel into (n, n_out, h, w), channels_last."""
    n, _, h, w = of
    return rows.view(n, h // stride, w // stride, -1).permute(0, 3, 1, 2)
