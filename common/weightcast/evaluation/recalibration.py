"""Recalibration: batch norm's statistics estimated anew, under the weights that arrived.

Noise in the weights changes the mean and the spread of what a convolution gives; the statistics
that came with the model tell those of the weights that were sent. A pass over a few samples,
without their labels, tells the new ones.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from weightcast.datasets.base import Report, Samples
from weightcast.errors import ModelError

BATCH = 100


@torch.inference_mode()
def recalibrate_into(
    network: nn.Module, samples: Samples, report: Report = lambda done, total: None
) -> list[str]:
    r"""Set the statistics of all batch norms of a network from samples; nothing else changes.

    Layer by layer in one pass: each batch norm uses the statistics of the batch, so that the next
    layer sees what it will see. The statistics that are left are the means over all batches, of the
    mean and of the unbiased variance of each channel.

    Args:
        network: as received; it is left in evaluation mode, on its device.
        samples: at least two; their labels are not looked at.
        report: is told (samples done, all samples).

    Returns:
        The names of the tensors that were set.

    Raises:
        ModelError: the network has no batch norm, or what arrived makes a statistic that is not
            finite.

    Source: Ioffe & Szegedy, "Batch normalization", ICML 2015, algorithm 2, steps 10 and 11; with
    batches averaged as in Izmailov et al., "Averaging weights leads to wider optima", UAI 2018.
    """
    norms = {name: m for name, m in network.named_modules() if _has_statistics(m)}
    if not norms:
        raise ModelError("there is no batch norm to recalibrate in this network")
    network.eval()
    before = {name: norm.momentum for name, norm in norms.items()}
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # The mean over all batches.
        norm.train()
    # Batches of nearly one size, so that none counts for more than the others.
    batches = np.array_split(np.arange(len(samples)), max(1, -(-len(samples) // BATCH)))
    device = next(network.parameters()).device
    done = 0
    for chosen in batches:
        x = samples.inputs(chosen).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=_is_fast(device)):
            network(x.contiguous(memory_format=_layout(x)))
        done += len(chosen)
        report(done, len(samples))
    for name, norm in norms.items():
        norm.momentum = before[name]
        if not all(bool(t.isfinite().all()) for t in (norm.running_mean, norm.running_var)):
            raise ModelError(f"'{name}' gives values that are not finite under these weights")
    network.eval()
    return [f"{name}.{kind}" for name in norms for kind in ("running_mean", "running_var")]


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is not None


def _is_fast(device: torch.device) -> bool:
    return device.type == "cpu" and bool(
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    )


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.dim() == 4 else torch.contiguous_format
