"""Accuracy of a network on samples, fast on a CPU with bfloat16 units.

Batch norm is folded, what torch can do in one pass is done in one, and most samples are evaluated
in bfloat16. An error turns a decision only where it makes up the gap between the best logit and
another. So samples whose two best logits are nearer to each other than a margin, 1 to 4 % with the
shipped ResNet-18, are evaluated in float32, and the predicted classes are those of plain float32,
but for samples that its rounding itself decides.

The margin, in standard deviations of a sample's logits, is measured on the network at hand. Some
samples are evaluated in both ways: the first ones, and all that have been within the margin so far.
The errors of the differences between their best logit and each other one are sums of many
roundings, near to normal. The largest of 288, of 32 samples with ten classes, is about 3 standard
errors; twice the largest is 6, which one difference in 5e8 exceeds. With more classes and more
samples it is more.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from weightcast.datasets.base import Report, Samples
from weightcast.errors import DataError
from weightcast.evaluation.cuda import true_float32
from weightcast.evaluation.fusion import in_one_pass
from weightcast.evaluation.logits import checked_graph, logits_of, spread
from weightcast.evaluation.score import Score
from weightcast.evaluation.tracing import FoldedGraph

N_MEASURED = 32
"""Samples that are always evaluated in float32; see the module's docstring."""

MARGIN = 0.04
"""The least margin. No image of the shipped ResNet-18 changed its class beyond 0.023."""

MOST_UNSURE = 0.5
"""Share of samples within the margin beyond which bfloat16, up to twice as fast, gains nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """What a network takes samples for.

    Args:
        classes: of each sample, int64, shape (n,).
        arithmetic: as in `Score`.
    """

    classes: npt.NDArray[np.int64]
    arithmetic: str


def accuracy(
    network: nn.Module,
    samples: Samples,
    report: Report = lambda done, total: None,
    arithmetic: str | None = None,
) -> Score:
    """Return how often a network is right; arguments and errors as for `predictions`."""
    found = predictions(network, samples, report, arithmetic)
    correct = int((found.classes == samples.labels).sum())
    return Score(
        accuracy=100 * correct / len(samples),
        correct=correct,
        n_samples=len(samples),
        arithmetic=found.arithmetic,
    )


@torch.inference_mode()
def predictions(
    network: nn.Module,
    samples: Samples,
    report: Report = lambda done, total: None,
    arithmetic: str | None = None,
) -> Predictions:
    """Return the class with the largest logit of each sample.

    A logit that is not a number counts as 0.

    Args:
        network: float32, in evaluation mode; is moved to the device that evaluates it.
        samples: at least one.
        report: is told (samples done, all samples).
        arithmetic: `bfloat16`, `float32` or `cuda-float32`; None takes the best the machine has.
            Of `bfloat16` float32 is made where it cannot be used or does not pay.

    Raises:
        DataError: there are no samples.
        ModelError: the network's output is not a logit for each sample and class.
    """
    if not len(samples):
        raise DataError("there are no samples to evaluate")
    arithmetic = arithmetic or best_arithmetic()
    network = network.to("cuda" if arithmetic.startswith("cuda") else "cpu")
    with true_float32(arithmetic):
        graph = checked_graph(network, samples)
        logits = None
        if arithmetic == "bfloat16":
            logits = None if graph is None else _fast_logits(graph, samples, report)
            arithmetic = "float32" if logits is None else arithmetic
        if logits is None:
            logits = logits_of(graph or network, samples, np.arange(len(samples)), report)
    classes = logits.nan_to_num(nan=0.0).argmax(1).numpy()
    return Predictions(classes=classes, arithmetic=arithmetic)


def best_arithmetic() -> str:
    """Return the arithmetic this machine is best at."""
    if torch.cuda.is_available():
        return "cuda-float32"
    has_units = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if has_units else "float32"


def _fast_logits(exact: FoldedGraph, samples: Samples, report: Report) -> Tensor | None:
    """Return logits for the right decisions; None if bfloat16 cannot be used or does not pay."""
    n = len(samples)
    if n <= N_MEASURED:
        return None
    fast = in_one_pass(exact).to(torch.bfloat16)
    first, rest = np.arange(N_MEASURED), np.arange(N_MEASURED, n)
    known = logits_of(exact, samples, first)
    try:
        tried = logits_of(fast, samples, first)
    except RuntimeError:  # Of an operation that bfloat16 does not have.
        return None
    margin = max(MARGIN, 2 * _error(tried, known))
    if float((_gap(tried) < margin).double().mean()) > MOST_UNSURE:
        return None
    report(N_MEASURED, n)
    found = logits_of(fast, samples, rest, lambda done, total: report(N_MEASURED + done, n))
    found = torch.cat([known, found])
    gap = _gap(found)
    gap[:N_MEASURED] = torch.inf
    while len(unsure := np.flatnonzero((gap < margin).numpy())):
        known = logits_of(exact, samples, unsure)
        margin = max(margin, 2 * _error(found[unsure], known))
        found[unsure], gap[unsure] = known, torch.inf
    return found


def _gap(logits: Tensor) -> Tensor:
    """Return the best logit less the next, in standard deviations, shape (n,); 0 for nan."""
    best = logits.topk(min(2, logits.shape[1]), dim=1).values
    return ((best[:, 0] - best[:, -1]) / spread(logits)).nan_to_num(nan=0.0)


def _error(found: Tensor, exact: Tensor) -> float:
    """Return the largest error of a difference to the best logit, in standard deviations."""
    error = found - exact
    of_best = error.gather(1, found.argmax(1, keepdim=True))
    largest = ((error - of_best).abs().amax(1) / spread(exact)).nan_to_num(nan=torch.inf)
    return float(largest.max())
