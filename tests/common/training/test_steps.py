"""Recorded steps, on the CPU: a recording is stood in for by the same step, done again."""

import dataclasses

import pytest
import torch
from common.training.test_epochs import EVERYTHING, IMAGES, LABELS, Net
from torch import Tensor

from weightcast.tasks.cifar10.resnet import ResNet18
from weightcast.training.augmentation import Batches
from weightcast.training.epochs import Training, initialised
from weightcast.training.recipes import RECIPES, SETTINGS, Setting
from weightcast.training.steps import Outcome, Record, Step, Steps

RECIPE = dataclasses.replace(RECIPES["fast"], epochs=2, batch=16, pixels=(8, 16), cutout=8)


class Repeated:
    """Does a step from the same memory each time, as a recording does."""

    made = 0

    def __init__(self, step: Step, x: Tensor, labels: Tensor, chance: torch.Generator) -> None:
        type(self).made += 1
        self._step, self._x, self._labels = step, x.clone(), labels.clone()

    def do(self, x: Tensor, labels: Tensor) -> Outcome:
        self._x.copy_(x)
        self._labels.copy_(labels)
        return self._step(self._x, self._labels)


def losses(
    record: Record | None, setting: Setting, network: type[ResNet18] | type[Net]
) -> list[float]:
    """Return the losses of 26 steps, of two sizes of images and of batches."""
    model = initialised(lambda: network(setting.dropout), 0)
    steps = Steps(model, setting, RECIPE, "float32", record=record)
    batches = Batches(RECIPE, 0, IMAGES, LABELS)
    found = []
    model.train()
    for epoch in (1, 2):
        steps.draw_from(torch.Generator().manual_seed(epoch))
        for i, (x, labels) in enumerate(batches.epoch(epoch)):
            found.append(steps.do(x, labels, RECIPE.rate(i + 13 * (epoch - 1), 26)).loss.item())
    return found


@pytest.mark.parametrize(
    ("network", "setting"),
    [(Net, EVERYTHING), pytest.param(ResNet18, SETTINGS["l2"], marks=pytest.mark.slow)],
)
def test_recorded_steps_find_the_losses_of_plain_ones(
    network: type[ResNet18] | type[Net], setting: Setting
) -> None:
    Repeated.made = 0
    plain, recorded = losses(None, setting, network), losses(Repeated, setting, network)
    assert len(plain) == 26
    assert Repeated.made == 2
    # The two ways of the descent round differently, 6e-8 a step, and later steps enlarge that.
    assert recorded == pytest.approx(plain, rel=1e-4)
    assert max(plain) - min(plain) > 0.5


def test_the_last_batch_of_an_epoch_is_never_recorded() -> None:
    seen = []

    class Watching(Repeated):
        def __init__(self, step: Step, x: Tensor, labels: Tensor, chance: torch.Generator) -> None:
            seen.append(tuple(x.shape))
            super().__init__(step, x, labels, chance)

    losses(Watching, SETTINGS["none"], Net)
    assert seen == [(16, 3, 8, 8), (16, 3, 16, 16)]


@pytest.mark.slow
def test_a_recorded_training_that_is_stopped_goes_on_with_its_momentum() -> None:
    def training() -> Training:
        model = initialised(lambda: Net(0.2), 3)
        steps = Steps(model, EVERYTHING, RECIPE, "float32", record=Repeated)
        return Training(steps, Batches(RECIPE, 3, IMAGES, LABELS))

    whole, stopped, resumed = training(), training(), training()
    for each in (whole, whole, stopped):
        each.do_epoch()
    resumed.restore({k: t.clone() for k, t in stopped.state().items()}, stopped.rows)
    resumed.do_epoch()
    for name, tensor in whole.state().items():
        assert torch.allclose(resumed.state()[name], tensor, atol=1e-6), name
