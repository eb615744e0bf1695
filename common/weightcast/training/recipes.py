"""What a model can be trained with: the four settings of the paper and two recipes.

Source: the project's reference paper, sections 3.2 (settings) and 4.1 (hyper-parameters).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from weightcast.errors import ParameterError

FLIPS = ("random", "alternating")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a training is regularised.

    Args:
        description: one line for people.
        l1: adds ``l1 * sum |p|`` over all parameters p to the loss.
        l2: weight decay: adds ``l2 / 2 * sum p**2`` over all parameters p to the loss.
        dropout: probability that a value is dropped, 0 .. 1.
    """

    description: str
    l1: float = 0.0
    l2: float = 0.0
    dropout: float = 0.0


SETTINGS: dict[str, Setting] = {
    "none": Setting(description="no regularisation, no dropout"),
    "l1": Setting(description="l1 penalty 5e-6 on all parameters, no dropout", l1=5e-6),
    "l2": Setting(description="weight decay 5e-4 on all parameters, no dropout", l2=5e-4),
    "dropout": Setting(
        description="dropout that keeps 0.8 after the stem and each of the four stages, no penalty",
        dropout=0.2,
    ),
}
"""Paper, section 4.1; why "p = 0.8" is read as the probability to keep: `docs/training.md`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a model is trained, whatever the setting.

    Args:
        epochs: passes over the training images, at least 1.
        batch: images per step, at least 1.
        peak_rate: the highest learning rate.
        momentum: of stochastic gradient descent, 0 .. 1.
        nesterov: whether the momentum looks ahead.
        warm_up: share of the steps in which the rate rises from 0 to its peak, 0 .. 1, excluded.
        flips: `random`, or `alternating`: a random side first, then the sides in turn.
        crop_padding: pixels by which an image is reflected outwards before a crop, 0 .. 31.
        cutout: side in pixels of a square that is blotted out of each image, 0 .. 32.
        pixels: sides that the images are scaled to, each for the same share of the epochs, 8 .. 32.
        smoothing: probability in a label that is shared out to all classes, 0 .. 1, 1 excluded.
        first_scale: of the convolutions' first weights, in units of torch's default.
        average: decay per step, 0 .. 1, of the running mean of the parameters and of batch norm's
            statistics that is taken in place of their last values; with 0 there is none.
        validation: images held back from the training images to choose the best epoch; with 0 the
            last epoch is taken.
    """

    epochs: int
    batch: int
    peak_rate: float
    momentum: float
    nesterov: bool
    warm_up: float
    flips: str
    crop_padding: int
    cutout: int = 0
    pixels: tuple[int, ...] = (32,)
    smoothing: float = 0.0
    first_scale: float = 1.0
    average: float = 0.0
    validation: int

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ParameterError(f"epochs must be at least 1, got {self.epochs}")
        if self.batch < 1:
            raise ParameterError(f"batch must be at least 1, got {self.batch}")
        if not 0 < self.peak_rate < math.inf:
            raise ParameterError(f"peak_rate must be above 0 and finite, got {self.peak_rate}")
        if not 0 <= self.warm_up < 1:
            raise ParameterError(f"warm_up must be in 0 .. 1, 1 excluded, got {self.warm_up}")
        if self.flips not in FLIPS:
            raise ParameterError(f"flips must be one of {', '.join(FLIPS)}, got '{self.flips}'")
        if not 0 <= self.crop_padding < 32:
            raise ParameterError(f"crop_padding must be in 0 .. 31, got {self.crop_padding}")
        if not 0 <= self.cutout <= 32:
            raise ParameterError(f"cutout must be in 0 .. 32, got {self.cutout}")
        if not self.pixels or not all(8 <= side <= 32 for side in self.pixels):
            raise ParameterError(f"pixels must be in 8 .. 32, got {self.pixels}")
        if not 0 <= self.smoothing < 1:
            raise ParameterError(f"smoothing must be in 0 .. 1, 1 excluded, got {self.smoothing}")
        if not 0 < self.first_scale < math.inf:
            raise ParameterError(f"first_scale must be above 0 and finite, got {self.first_scale}")
        if not 0 <= self.average < 1:
            raise ParameterError(f"average must be in 0 .. 1, 1 excluded, got {self.average}")
        if self.validation < 0:
            raise ParameterError(f"validation must be at least 0, got {self.validation}")

    def describe(self) -> str:
        """Return the recipe in words."""
        momentum = f"{'Nesterov ' if self.nesterov else ''}momentum {self.momentum:g}"
        rise = (
            f"in a line from 0 over {self.warm_up:.0%} of the steps, then " if self.warm_up else ""
        )
        images = f"{self.flips} horizontal flips"
        if self.crop_padding:
            images += f" and crops padded by {self.crop_padding} pixels"
        if self.cutout:
            images += f", a square of {self.cutout} pixels blotted out"
        if set(self.pixels) != {32}:
            images += f", scaled to {', then '.join(map(str, self.pixels))} pixels"
        parts = [
            f"{self.epochs} epochs, batch {self.batch}, SGD with {momentum}, rate {rise}"
            f"in a cosine from {self.peak_rate:g} to 0",
            images,
            f"labels smoothed by {self.smoothing:g}" if self.smoothing else "",
            f"first weights of convolutions times {self.first_scale:g}"
            if self.first_scale != 1
            else "",
            f"running mean with decay {self.average:g}" if self.average else "",
            "best epoch by validation" if self.validation else "last epoch",
        ]
        return "; ".join(part for part in parts if part)

    def side(self, epoch: int) -> int:
        """Return the pixels of a side of the images of epoch 1 .. epochs."""
        # Counted from the end: the last epoch has the last size, however few there are.
        return self.pixels[-1 - (self.epochs - epoch) * len(self.pixels) // self.epochs]

    def rate(self, step: int, n_steps: int) -> float:
        r"""Return the learning rate of step 0 .. n_steps - 1: up in a line, down in a cosine to 0.

        With :math:`t` = (step + 1) / n_steps and the warm-up :math:`w` it is the peak times
        :math:`t / w` up to :math:`w` and :math:`(1 + \cos(\pi (t - w) / (1 - w))) / 2` after it.

        Source: Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR
        2017, eq. 5 (one period); the one cycle is that of Smith & Topin, "Super-convergence", 2019.
        """
        t = (step + 1) / n_steps
        if t < self.warm_up:
            return self.peak_rate * t / self.warm_up
        t = (t - self.warm_up) / (1 - self.warm_up)
        return self.peak_rate * (1 + math.cos(math.pi * t)) / 2


def changed(recipe: Recipe, texts: Mapping[str, str]) -> Recipe:
    """Return the recipe with some of its fields, as a person writes them, changed.

    Args:
        recipe: what is changed.
        texts: name and new value of fields; sides of images are separated by commas.

    Raises:
        ParameterError: no such field, or a value that the field cannot have.

    >>> changed(RECIPES["fast"], {"peak_rate": "0.2", "pixels": "16,32"}).pixels
    (16, 32)
    """
    kinds: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("batch", "crop_padding", "cutout"), int),
        **dict.fromkeys(("peak_rate", "warm_up", "smoothing", "first_scale", "average"), float),
        "flips": str,
        "pixels": lambda text: tuple(int(side) for side in text.split(",")),
    }
    values = {}
    for name, text in texts.items():
        if name not in kinds:
            raise ParameterError(f"a recipe has no '{name}' to set; known: {', '.join(kinds)}")
        try:
            values[name] = kinds[name](text)
        except ValueError:
            raise ParameterError(f"{name} cannot be '{text}'") from None
    return dataclasses.replace(recipe, **values)


RECIPES: dict[str, Recipe] = {
    "paper": Recipe(
        epochs=350,
        batch=128,
        peak_rate=0.1,
        momentum=0.9,
        nesterov=False,
        warm_up=0.0,
        flips="random",
        crop_padding=0,
        validation=5_000,
    ),
    "fast": Recipe(
        epochs=25,
        batch=128,
        peak_rate=0.1,
        momentum=0.9,
        nesterov=True,
        warm_up=0.1,
        flips="alternating",
        crop_padding=4,
        pixels=(24, 32),
        validation=0,
    ),
}
"""`paper`: section 4.1, which names no schedule. `fast`: the project's own, for a CPU."""
