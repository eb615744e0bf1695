"""Logits of a network on samples, in batches; and its graph, which must find the same."""

import copy
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from weightcast.datasets.base import Report, Samples
from weightcast.errors import ModelError
from weightcast.evaluation import cuda
from weightcast.evaluation.tracing import FoldedGraph, folded

BATCH = 100

N_COMPARED = 8
"""Samples by which a graph is compared with its network."""

TOLERANCE = 0.01
"""Of that, in standard deviations of a sample's logits. Rounding stays far below it even where many
layers make it larger (0.0004 in a ResNet-50 of random weights); a wrong graph does not."""


def logits_of(
    network: nn.Module,
    samples: Samples,
    chosen: npt.NDArray[np.intp],
    report: Report = lambda done, total: None,
) -> Tensor:
    """Return the logits of the chosen samples, float32, shape (len(chosen), n_classes).

    Args:
        network: computes in the type and on the device of its first parameter; a folded graph is
            given its inputs in channels_last.
        samples: what it evaluates.
        chosen: indices of samples, at least one.
        report: is told (chosen samples done, all of them).

    Raises:
        ModelError: the network's output is not a logit for each sample and class.
    """
    like = next(chain(network.parameters(), network.buffers()), torch.empty(0))
    n_at_once = cuda.BATCH if like.is_cuda else BATCH
    found = []
    for start in range(0, len(chosen), n_at_once):
        x = samples.inputs(chosen[start : start + n_at_once])
        is_laid = isinstance(network, FoldedGraph) and x.dim() == 4
        layout = torch.channels_last if is_laid else torch.contiguous_format
        output = network(x.to(like.device, like.dtype).contiguous(memory_format=layout))
        found.append(_checked(output, len(x)).float().cpu())
        report(min(start + n_at_once, len(chosen)), len(chosen))
    return torch.cat(found)


def checked_graph(network: nn.Module, samples: Samples) -> FoldedGraph | None:
    """Return the folded graph of a network; None if there is none or it computes something else.

    Args:
        network: float32; it stays as it is.
        samples: the first of them are what the two are compared by.

    Raises:
        ModelError: the network's output is not a logit for each sample and class.
    """
    few = np.arange(min(N_COMPARED, len(samples)))
    expected = logits_of(network, samples, few)
    graph = folded(network)
    if graph is None:
        return None
    _lay_channels_last_into(graph)
    try:
        found = logits_of(graph, samples, few)
    except RuntimeError:  # Of a layer that cannot take this layout.
        return None
    is_near = (found - expected).abs() <= TOLERANCE * spread(expected)[:, None]
    is_same = (found == expected) | (found.isnan() & expected.isnan())
    return graph if bool((is_near | is_same).all()) else None


def spread(logits: Tensor) -> Tensor:
    """Return the standard deviation of each sample's logits, shape (n,)."""
    return logits.std(dim=1, correction=min(1, logits.shape[1] - 1))


def _checked(output: object, n: int) -> Tensor:
    expected = f"the network's output must be one tensor of the shape ({n}, classes)"
    if not isinstance(output, Tensor):
        raise ModelError(f"{expected}, got {_described(output)}")
    if output.dim() != 2 or len(output) != n or not output.shape[1]:
        raise ModelError(f"{expected}, got the shape {tuple(output.shape)}")
    return output


def _described(output: object) -> str:
    name = type(output).__name__
    return f"{name} of {len(output)}" if isinstance(output, tuple | list | dict) else name


def _lay_channels_last_into(graph: FoldedGraph) -> None:
    """Give the graph its own convolutions, with weights in channels_last."""
    for name, module in list(graph.named_modules()):
        if isinstance(module, nn.Conv2d):
            own = copy.deepcopy(module)
            graph.set_submodule(name, own.to(memory_format=torch.channels_last))
