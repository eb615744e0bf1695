"""Accuracy of a CIFAR-10 model by the names that it had before `weightcast.tasks.accuracy`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from weightcast.learning import architectures
from weightcast.tasks.accuracy import MARGIN, best_arithmetic, predictions
from weightcast.tasks.base import Report
from weightcast.tasks.loading import loaded
from weightcast.tasks.logits import BATCH
from weightcast.tasks.samples import Pictures

__all__ = [
    "BATCH", "MARGIN", "MEAN", "STD", "Evaluation", "Evaluator", "Report", "best_arithmetic",
    "load", "normalised",
]  # fmt: skip

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of the training images per colour, with pixels in 0 .. 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What an evaluation found.

    Args:
        correct: images whose class was predicted right.
        n_images: images evaluated.
        predicted: class of each image, uint8, shape (n_images,).
        arithmetic: `bfloat16`, `float32` or `cuda-float32`.
    """

    correct: int
    n_images: int
    predicted: npt.NDArray[np.uint8]
    arithmetic: str


class Evaluator:
    """Evaluates models of one architecture on one set of images.

    Args:
        architecture: a name in `ARCHITECTURES`.
        images: uint8, shape (n, 32, 32, 3).
        labels: uint8, shape (n,).
        arithmetic: as in `Evaluation`; None takes the best the machine has.
    """

    def __init__(
        self,
        architecture: str,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        arithmetic: str | None = None,
    ) -> None:
        self._architecture, self._labels = architecture, labels
        self._samples = Pictures(
            images=images, labels=labels.astype(np.int64), normalise=normalised
        )
        self.arithmetic = arithmetic or best_arithmetic()

    def evaluate(
        self, tensors: Mapping[str, Tensor], report: Report = lambda done, total: None
    ) -> Evaluation:
        """Return the accuracy of the model with these tensors.

        A logit that is not a number counts as 0.

        Args:
            tensors: a state_dict of the architecture, in any float type.
            report: called with (images done, all images).

        Raises:
            ModelError: the tensors are not those of the architecture.
        """
        network = load(self._architecture, tensors)
        found = predictions(network, self._samples, report, self.arithmetic)
        predicted = found.classes.astype(np.uint8)
        return Evaluation(
            correct=int((predicted == self._labels).sum()),
            n_images=len(predicted),
            predicted=predicted,
            arithmetic=found.arithmetic,
        )


def load(architecture: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return a float32 model in evaluation mode with these tensors."""
    return loaded(lambda: architectures.build(architecture), tensors, architecture)


def normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    """Turn uint8 images (n, 32, 32, 3) into float32 inputs (n, 3, 32, 32), channels_last."""
    scale = 255 * torch.tensor(STD)
    shift = torch.tensor(MEAN) / torch.tensor(STD)
    return (torch.from_numpy(images).float() / scale - shift).permute(0, 3, 1, 2)
