"""Order, flips and crops of the training images, each epoch from its own generators.

What is drawn is drawn on the CPU, a few numbers per image and epoch, so that every device is given
the same images in the same order; they are cut, mirrored and blotted out where they lie.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from weightcast.datasets.samples import generator
from weightcast.tasks.cifar10.task import normalised_on_device
from weightcast.training.recipes import Recipe


class Batches:
    """The training images of any epoch, augmented, in batches.

    Args:
        recipe: says how.
        seed: of the training.
        images: uint8, shape (n, 32, 32, 3).
        labels: uint8, shape (n,).
        device: where the images stay and what comes of them is.
    """

    def __init__(
        self,
        recipe: Recipe,
        seed: int,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        device: torch.device | str = "cpu",
    ) -> None:
        p = recipe.crop_padding
        padded = np.pad(images, ((0, 0), (p, p), (p, p), (0, 0)), mode="reflect")
        self._padded = torch.from_numpy(padded).to(device)
        self._labels = torch.from_numpy(labels).long().to(device)
        self.recipe, self.seed = recipe, seed

    def __len__(self) -> int:
        """Return the number of batches of an epoch; the last may be smaller."""
        return -(-len(self._labels) // self.recipe.batch)

    def epoch(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs, float32, shape (batch, 3, side, side), and labels, int64, shape (batch,).

        Args:
            epoch: 1, 2, ...; decides the side, see `Recipe.side`.
        """
        n, device = len(self._labels), self._labels.device
        chance = generator(self.seed, epoch, "order")
        order = torch.randperm(n, generator=chance).to(device)
        n_offsets = 2 * self.recipe.crop_padding + 1
        offsets = torch.randint(0, n_offsets, (n, 2), generator=chance).to(device)
        is_flipped = self._flips(epoch).to(device)
        cutout = self.recipe.cutout
        chance = generator(self.seed, epoch, "cutout")
        corners = torch.randint(0, 33 - cutout, (n, 2), generator=chance).to(device)
        for start in range(0, n, self.recipe.batch):
            i = order[start : start + self.recipe.batch]
            x = normalised_on_device(crops(self._padded, i, offsets[i], is_flipped[i]))
            blot_out(x, corners[i], cutout)
            yield scaled(x, self.recipe.side(epoch)), self._labels[i]

    def _flips(self, epoch: int) -> Tensor:
        """Return which images are flipped in an epoch, bool, shape (n,).

        Source of `alternating`: Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024,
        section 3.6.
        """
        is_random = self.recipe.flips == "random"
        chance = generator(self.seed, epoch if is_random else 0, "flips")
        sides = torch.randint(0, 2, (len(self._labels),), generator=chance)
        return (sides + (0 if is_random else epoch)) % 2 == 1


def crops(padded: Tensor, chosen: Tensor, offsets: Tensor, is_flipped: Tensor) -> Tensor:
    """Cut an image of 32 x 32 pixels out of each chosen padded image and mirror some of them.

    Args:
        padded: uint8, shape (n, 32 + 2p, 32 + 2p, 3).
        chosen: indices of images, shape (k,).
        offsets: row and column of the upper left corner, each 0 .. 2p, shape (k, 2).
        is_flipped: whether left and right change places, shape (k,).

    Returns:
        uint8, shape (k, 32, 32, 3).
    """
    pixels = torch.arange(32, device=padded.device)
    rows = offsets[:, :1] + pixels
    columns = offsets[:, 1:] + torch.where(is_flipped[:, None], pixels.flip(0), pixels)
    return padded[chosen[:, None, None], rows[:, :, None], columns[:, None, :]]


def blot_out(x: Tensor, corners: Tensor, side: int) -> None:
    """Set a square of each normalised image to 0, the mean colour, in place.

    Args:
        x: shape (n, c, h, w).
        corners: row and column of the upper left corner of the square, shape (n, 2).
        side: of the square, in pixels; with 0 nothing happens.

    Source: DeVries & Taylor, "Improved regularization of convolutional neural networks with
    cutout", 2017; here the whole square lies in the image.
    """
    if side == 0:
        return
    distance = torch.arange(x.shape[-1], device=x.device) - corners[:, :, None]
    is_in = (distance >= 0) & (distance < side)
    x.masked_fill_((is_in[:, 0, :, None] & is_in[:, 1, None, :])[:, None], 0.0)


def scaled(x: Tensor, side: int) -> Tensor:
    """Scale images to side x side pixels, each a weighted mean of those it covers, channels_last.

    Args:
        x: shape (n, c, h, w); returned as it is if it has that size.
        side: in pixels.
    """
    if x.shape[2:] == (side, side):
        return x
    smaller = functional.interpolate(x, (side, side), mode="bilinear", antialias=True)
    return smaller.contiguous(memory_format=torch.channels_last)
