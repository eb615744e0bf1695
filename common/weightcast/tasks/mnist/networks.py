"""The networks of the task `mnist`, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def mlp() -> nn.Module:
    """Return a perceptron with one hidden layer: 79,400 weights.

    =====  ====================  ======  =========
    layer  what                  output  n_weights
    =====  ====================  ======  =========
    0      flat                  784             0
    1      linear, 784 -> 100    100        78,400
    2      rectifier             100             0
    3      linear, 100 -> 10     10          1,000
    =====  ====================  ======  =========
    """
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 10))


def cnn() -> nn.Module:
    """Return a small convolutional network: 60,696 weights.

    ======  =================================  ============  =========
    layer   what                               output        n_weights
    ======  =================================  ============  =========
    0-2     3x3, 1 -> 24, norm, rectifier      24 x 28 x 28        216
    3       maximum of 2x2                     24 x 14 x 14          0
    4-6     3x3, 24 -> 48, norm, rectifier     48 x 14 x 14     10,368
    7       maximum of 2x2                     48 x 7 x 7            0
    8-10    3x3, 48 -> 96, norm, rectifier     96 x 7 x 7       41,472
    11      maximum of 2x2                     96 x 3 x 3            0
    12      flat                               864                   0
    13      linear, 864 -> 10                  10                8,640
    ======  =================================  ============  =========
    """
    from torch import nn

    layers: list[nn.Module] = []
    for n_in, n_out in ((1, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 3 * 3, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "cnn": cnn}
