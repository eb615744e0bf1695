"""Accuracy of a model on labelled images, fast on a CPU with bfloat16 units.

Batch norm is folded into the convolutions and the images go through in channels_last batches. In
bfloat16 a logit is off by 0.6 % of the standard deviation of an image's logits (median over images
of the worst of ten, on the shipped model), which can only matter where two classes are almost
equal. Images whose two best logits are less than `MARGIN` standard deviations apart, 1 to 4 % of
them, are therefore evaluated once more in float32; no image changed its class beyond 0.023. So the
predicted classes are those of plain float32, but for images that its rounding itself decides.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from weightcast.errors import ModelError
from weightcast.learning import architectures

BATCH = 100
MARGIN = 0.04
"""In standard deviations of an image's logits; see the module's docstring."""

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
"""Mean and standard deviation of the training images per colour, with pixels in 0 .. 1."""

Report = Callable[[int, int], None]


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
        self._architecture = architecture
        self._images, self._labels = images, labels
        self.arithmetic = arithmetic or best_arithmetic()

    @torch.inference_mode()
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
        device = torch.device("cuda" if self.arithmetic.startswith("cuda") else "cpu")
        exact = folded(load(self._architecture, tensors)).to(device)
        exact = exact.to(memory_format=torch.channels_last)
        n = len(self._images)
        everything = np.arange(n)
        if self.arithmetic != "bfloat16":
            logits = _logits(exact, self._images, everything, report)
        else:
            fast = copy.deepcopy(exact).to(torch.bfloat16)
            logits = _logits(fast, self._images, everything, report)
            best = logits.topk(2, dim=1).values
            is_sure = best[:, 0] - best[:, 1] >= MARGIN * logits.std(dim=1)
            unsure = np.flatnonzero(~is_sure.numpy())
            logits[unsure] = _logits(exact, self._images, unsure)
        predicted = logits.nan_to_num(nan=0.0).argmax(1).to(torch.uint8).numpy()
        return Evaluation(
            correct=int((predicted == self._labels).sum()),
            n_images=n,
            predicted=predicted,
            arithmetic=self.arithmetic,
        )


def best_arithmetic() -> str:
    """Return the arithmetic this machine is best at."""
    if torch.cuda.is_available():
        return "cuda-float32"
    has_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if has_units else "float32"


def load(architecture: str, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return a float32 model in evaluation mode with these tensors."""
    with torch.device("meta"):
        model: nn.Module = architectures.build(architecture).eval()
    try:
        model.load_state_dict(
            {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()},
            assign=True,
        )
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ModelError(f"not the tensors of {architecture}: {first}") from None
    return model.requires_grad_(False)


def folded(model: nn.Module) -> nn.Module:
    """Fold each batch norm that follows a convolution into it, in place; return the model.

    Source: Jacob et al., "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference", CVPR 2018, section 3.2.
    """
    for module, name, norm_name in normed_convolutions(model):
        fused = fuse_conv_bn_eval(getattr(module, name), getattr(module, norm_name))
        setattr(module, name, fused)
        setattr(module, norm_name, nn.Identity())
    return model


def normed_convolutions(model: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Yield (module, name of a convolution in it, name of the batch norm that follows it)."""
    for module in list(model.modules()):
        for (name, first), (norm_name, second) in pairwise(list(module.named_children())):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                yield module, name, norm_name


def normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    """Turn uint8 images (n, 32, 32, 3) into float32 inputs (n, 3, 32, 32), channels_last."""
    scale = 255 * torch.tensor(STD)
    shift = torch.tensor(MEAN) / torch.tensor(STD)
    return (torch.from_numpy(images).float() / scale - shift).permute(0, 3, 1, 2)


@torch.inference_mode()
def _logits(
    model: nn.Module,
    images: npt.NDArray[np.uint8],
    chosen: npt.NDArray[np.intp],
    report: Report = lambda done, total: None,
) -> Tensor:
    """Return float32 logits of the chosen images, shape (len(chosen), n_classes)."""
    parameter = next(model.parameters())
    found = [torch.empty(0, 10)]
    for start in range(0, len(chosen), BATCH):
        x = normalised(images[chosen[start : start + BATCH]])
        found.append(model(x.to(parameter.device, parameter.dtype)).float().cpu())
        report(min(start + BATCH, len(chosen)), len(chosen))
    return torch.cat(found)
