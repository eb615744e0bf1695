"""ResNet-18 for images of 32 x 32 pixels."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from weightcast.errors import ParameterError
from weightcast.tasks.cifar10.convolution import MatrixConv2d


class Block(nn.Module):
    """Basic block: two 3x3 convolutions with batch norm, and a shortcut.

    Args:
        n_in, n_out: channels.
        stride: of the first convolution and, if the shape changes, of the 1x1 shortcut.
    """

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(n_in, n_out, stride)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = _convolution(n_out, n_out, 1)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, n_in, h, w) to (n, n_out, h / stride, w / stride)."""
        y = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        # Before the second convolution, which in evaluation takes the sum in.
        shortcut = self.shortcut(x)
        y = self.bn2(self.conv2(y))
        y += shortcut
        return functional.relu(y, inplace=True)


def _convolution(n_in: int, n_out: int, stride: int) -> nn.Conv2d:
    # Where it is faster; measured in docs/training.md.
    if n_out >= 512 and torch.cpu._is_amx_tile_supported():
        return MatrixConv2d(n_in, n_out, stride)
    return nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)


class ResNet18(nn.Module):
    """ResNet-18 for CIFAR-10: 3x3 stem, no max-pool, 11,164,352 weights.

    ======  ===============================  =============  =========
    layer   what                             output         n_weights
    ======  ===============================  =============  =========
    conv1   3x3, 3 -> 64                     64 x 32 x 32       1,728
    layer1  2 blocks, 64                     64 x 32 x 32     147,456
    layer2  2 blocks, 128, stride 2          128 x 16 x 16    524,288
    layer3  2 blocks, 256, stride 2          256 x 8 x 8    2,097,152
    layer4  2 blocks, 512, stride 2          512 x 4 x 4    8,388,608
    linear  mean over the image, 512 -> 10   10                 5,120
    ======  ===============================  =============  =========

    Source: He et al., "Deep residual learning for image recognition", CVPR 2016, with the stem for
    small images of its section 4.2.

    Args:
        dropout: probability, 0 .. 1, that a value is dropped in training after each of `conv1` (its
            rectifier included) to `layer4`.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        self.linear = nn.Linear(512, 10)

    def forward(self, x: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Map normalised images (n, 3, 32, 32) to logits (n, 10).

        Args:
            x: the images.
            chance: what dropout draws from; needed only in training with dropout.
        """
        x = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x = self._dropped(x, chance)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = self._dropped(layer(x), chance)
        logits: Tensor = self.linear(torch.mean(x, (2, 3)))
        return logits

    def _dropped(self, x: Tensor, chance: torch.Generator | None) -> Tensor:
        if not (self.training and self.dropout):
            return x
        if chance is None:
            raise ParameterError("dropout needs a generator in training, got None")
        return dropped(x, self.dropout, chance)


def dropped(x: Tensor, p: float, chance: torch.Generator) -> Tensor:
    """Set each value to 0 with probability p, to within 2**-16, and divide the others by 1 - p.

    A 64-bit draw serves four values: less than half the time of `torch.Tensor.bernoulli_`.

    Args:
        x: any shape, without gaps in memory.
        p: 0 .. 1, 1 excluded.
        chance: what is drawn from.

    Source: Srivastava et al., "Dropout", JMLR 15, 2014, in the scaling of its section 10.
    """
    n = x.numel()
    draws = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None, generator=chance)
    uniform = draws.view(torch.int16)[:n].as_strided(x.size(), x.stride())
    is_kept = uniform >= round(p * 2**16) - 2**15
    return x * (is_kept.to(x.dtype) / (1 - p))
