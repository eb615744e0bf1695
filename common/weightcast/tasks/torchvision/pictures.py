"""Labelled pictures in memory or on disk, of one size or not, and a choice of them as samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from weightcast.datasets.samples import Indices
from weightcast.datasets.sources import FOREIGN, one_line
from weightcast.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor


class Labelled(Protocol):
    """Labelled pictures."""

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of each picture, shape (n,)."""
        ...

    def pictures(self, chosen: Indices, size: int | None) -> Tensor:
        """Return the chosen pictures, uint8, shape (k, channels, height, width); see `sized`."""
        ...


@dataclass(frozen=True, slots=True)
class InMemory:
    """Pictures of one size: uint8, shape (n, height, width) or (n, height, width, channels)."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def pictures(self, chosen: Indices, size: int | None) -> Tensor:
        """Return the chosen pictures; see `Labelled`."""
        import torch

        found = torch.from_numpy(self.images[chosen])
        return sized(found[:, None] if found.ndim == 3 else found.permute(0, 3, 1, 2), size)


@dataclass(frozen=True, slots=True)
class OnDisk:
    """A data set of torchvision, whose pictures are read, in colour, when they are asked for."""

    data: Any
    labels: npt.NDArray[np.int64]

    def pictures(self, chosen: Indices, size: int | None) -> Tensor:
        """Return the chosen pictures; see `Labelled`.

        Raises:
            DataError: a picture cannot be read, or they have different sizes.
        """
        import torch

        found = [sized(self._read(int(i))[None], size) for i in chosen]
        shapes = {tuple(picture.shape[2:]) for picture in found}
        if len(shapes) > 1:
            (h, w), (other_h, other_w) = sorted(shapes)[:2]
            raise DataError(
                f"the pictures have different sizes, {w} x {h} and {other_w} x {other_h} for"
                " example; image_size makes them alike"
            )
        return torch.cat(found) if found else torch.empty(0, 3, size or 1, size or 1)

    def _read(self, i: int) -> Tensor:
        from torchvision.transforms.v2 import functional

        try:
            picture = self.data[i][0].convert("RGB")
        except FOREIGN as error:
            raise DataError(f"picture {i} cannot be read: {one_line(error)}") from None
        found: Tensor = functional.pil_to_tensor(picture)
        return found


def sized(pictures: Tensor, size: int | None) -> Tensor:
    """Scale pictures so that the shorter side has ``size`` pixels, and cut out the middle square.

    Args:
        pictures: uint8, shape (k, channels, height, width); returned as they are if ``size`` is
            None.
        size: in pixels.
    """
    from torchvision.transforms.v2 import functional

    if size is None or pictures.shape[2:] == (size, size):
        return pictures
    found: Tensor = functional.center_crop(
        functional.resize(pictures, [size], antialias=True), [size, size]
    )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Samples: some of the labelled pictures, normalised, in three channels.

    Args:
        data: the pictures.
        indices: of those that are samples, shape (n,).
        size: see `sized`.
        scale: mean and standard deviation of the pixels, in 0 .. 1.
    """

    data: Labelled
    indices: Indices
    size: int | None
    scale: tuple[tuple[float, ...], tuple[float, ...]]

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of each sample, shape (n,)."""
        return self.data.labels[self.indices]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.indices)

    def inputs(self, chosen: Indices) -> Tensor:
        """Return the chosen samples, float32, shape (k, 3, height, width), channels_last."""
        import torch

        mean, std = (torch.tensor(values)[:, None, None] for values in self.scale)
        pixels = self.data.pictures(self.indices[chosen], self.size)
        x = (pixels.float() / 255 - mean) / std
        return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
