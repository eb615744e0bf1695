"""Evaluation on CUDA: true float32, and samples that stay on the device.

A set of samples that is evaluated again and again is normalised and copied to the device once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from weightcast.datasets.base import Samples

BATCH = 1000
"""Samples that CUDA is given at once."""

MOST_BYTES = 4 << 30
"""Of a set's inputs that are kept on a device."""


def true_float32(arithmetic: str) -> AbstractContextManager[None]:
    """Keep cuDNN from rounding float32 to the 10 bits of TensorFloat-32, which is its default.

    Its algorithms are those that repeat to the bit, too.

    Args:
        arithmetic: as in `Score`; on the CPU nothing changes.
    """
    if not arithmetic.startswith("cuda"):
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """Samples whose inputs are on a device.

    Args:
        labels: int64, shape (n,).
        tensor: float32, what a network takes of all of them.
    """

    labels: npt.NDArray[np.int64]
    tensor: Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)

    def inputs(self, chosen: npt.NDArray[np.intp]) -> Tensor:
        """Return what a network takes of the chosen samples, shape (k, ...)."""
        return self.tensor[torch.from_numpy(chosen).to(self.tensor.device)]


def resident(samples: Samples, device: str | None = None) -> Samples:
    """Return the samples with their inputs on CUDA if there is one and they are not too large.

    Args:
        samples: at least one.
        device: another device than CUDA.
    """
    if device is None and not torch.cuda.is_available():
        return samples
    n_bytes = samples.inputs(np.arange(1)).nbytes * len(samples)
    if n_bytes > MOST_BYTES:
        return samples
    pieces = [
        samples.inputs(np.arange(start, min(start + BATCH, len(samples)))).to(device or "cuda")
        for start in range(0, len(samples), BATCH)
    ]
    return Resident(labels=samples.labels, tensor=torch.cat(pieces))
