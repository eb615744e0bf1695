"""Images per second in training, and how near a step comes to the machine's products of matrices.

A step is all of it: 128 images of 32 x 32 pixels augmented, forward, backward, descent. Its
operations are those of convolutions and products, forward and backward, as torch counts them.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from measure import Row, interleaved
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from weightcast.evaluation.accuracy import best_arithmetic
from weightcast.tasks.cifar10.convolution import MatrixConv2d
from weightcast.tasks.cifar10.resnet import ResNet18
from weightcast.training.augmentation import Batches
from weightcast.training.epochs import Training, initialised
from weightcast.training.recipes import RECIPES, SETTINGS
from weightcast.training.steps import Steps

REPETITIONS = 3
SIDE = 2048
WIDE = 512


def measure() -> list[Row]:
    """Measure steps, a product of matrices, and a wide convolution in both ways."""
    fast = "bfloat16" if best_arithmetic() == "bfloat16" else "float32"
    steps = {
        "float32": _training("none", "float32"),
        fast: _training("none", fast),
        f"{fast}, dropout": _training("dropout", fast),
    }
    with FlopCounterMode(display=False) as counter:
        steps[fast].do_epoch()
    step_flop = counter.get_total_flops()
    dtype = getattr(torch, fast)
    square = torch.randn(SIDE, SIDE, dtype=dtype)
    wide = {
        "by the library": nn.Conv2d(WIDE, WIDE, 3, padding=1, bias=False),
        "as products of matrices": MatrixConv2d(WIDE, WIDE),
    }
    tasks: dict[str, Callable[[], object]] = {"product": lambda: square @ square}
    tasks |= {name: training.do_epoch for name, training in steps.items()}
    tasks |= {name: _both_ways(layer.to(dtype)) for name, layer in wide.items()}
    times = {name: found.best for name, found in interleaved(tasks, REPETITIONS).items()}
    product = 2 * SIDE**3 / times["product"]
    batch = RECIPES["fast"].batch
    return [
        *(
            Row(
                what=f"training, {name}",
                value=batch / times[name],
                unit="images per s",
                seconds=times[name],
                note=f"{torch.get_num_threads()} threads",
            )
            for name in steps
        ),
        Row(
            what=f"product of matrices, {fast}",
            value=product / 1e9,
            unit="GFLOP/s",
            seconds=times["product"],
        ),
        Row(
            what="training step against it",
            value=step_flop / times[fast] / product,
            unit="of its speed",
            note=f"{step_flop / 1e9:.0f} GFLOP per step",
        ),
        *(
            Row(
                what=f"{WIDE} channels {name}",
                value=1e3 * times[name],
                unit="ms",
                note="4 x 4 pixels, forward and backward",
            )
            for name in wide
        ),
    ]


def _training(setting: str, arithmetic: str) -> Training:
    """Return a training whose epochs are of one step."""
    recipe = dataclasses.replace(RECIPES["fast"], epochs=1000, pixels=(32,))
    images = np.random.default_rng(0).integers(0, 256, (recipe.batch, 32, 32, 3), np.uint8)
    chosen = SETTINGS[setting]
    model = initialised(lambda: ResNet18(chosen.dropout), 0)
    return Training(
        Steps(model, chosen, recipe, arithmetic),
        Batches(recipe, 0, images, np.zeros(recipe.batch, np.uint8)),
    )


def _both_ways(layer: nn.Module) -> Callable[[], object]:
    layer = layer.to(memory_format=torch.channels_last)
    dtype = next(layer.parameters()).dtype
    x = torch.randn(RECIPES["fast"].batch, WIDE, 4, 4, dtype=dtype)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    return lambda: layer(x).sum().backward()
