"""A plain training of any task's network: for models to try things on, not for records.

Pictures are taken as they are, without flips or crops. Epochs, order and first weights follow from
the seed.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from weightcast.datasets.base import Report, Samples
from weightcast.datasets.samples import Indices, generator
from weightcast.errors import ModelError, ParameterError
from weightcast.registry import spec_of
from weightcast.tasks.base import Task
from weightcast.tasks.recognition import KEY
from weightcast.training.checkpoint import save_model
from weightcast.training.epochs import initialised

MOMENTUM = 0.9


def fit(
    task: Task,
    samples: Samples,
    *,
    epochs: int,
    batch: int,
    rate: float,
    decay: float = 5e-4,
    seed: int,
    report: Report = lambda done, total: None,
) -> dict[str, Tensor]:
    """Train the network of a task on samples and return its tensors.

    Stochastic gradient descent with momentum on the cross-entropy; the rate falls to 0 as a cosine.
    A last batch that is not full is left out, unless it is the only one.

    Args:
        task: says which network.
        samples: what it learns, such as those of the task's training split.
        epochs: passes over the samples, at least 1.
        batch: samples per step, at least 2 (a batch norm needs them).
        rate: the first learning rate, above 0.
        decay: adds ``decay / 2 * sum p**2`` over all parameters p to the loss.
        seed: of the first weights and of the order.
        report: is told (samples done, all samples of all epochs).

    Returns:
        A state_dict, float32, in the memory of the CPU.

    Raises:
        ParameterError: a number that there cannot be.
        ModelError: the loss is not finite.

    Source of the rate: Loshchilov & Hutter, "SGDR: stochastic gradient descent with warm restarts",
    ICLR 2017, equation 5, without restarts.
    """
    if epochs < 1 or batch < 2:
        raise ParameterError(f"epochs must be at least 1 and batch 2, got {epochs} and {batch}")
    if not (rate > 0 and decay >= 0 and math.isfinite(rate + decay)):
        raise ParameterError(f"rate must be above 0 and decay not below, got {rate} and {decay}")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = initialised(task.network, seed).to(device).train()
    optimiser = torch.optim.SGD(
        network.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=decay
    )
    n_steps = epochs * max(1, len(samples) // batch)
    for step, chosen in enumerate(_batches(samples, epochs, batch, seed)):
        optimiser.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * step / n_steps)) / 2
        loss = _step(network, optimiser, samples, chosen, device)
        if not math.isfinite(loss):
            raise ModelError(f"the loss of step {step} is {loss}; the rate may be too high")
        report((step + 1) * len(chosen), n_steps * len(chosen))
    return {name: tensor.cpu() for name, tensor in network.state_dict().items()}


def save(path: Path, task: Task, tensors: Mapping[str, Tensor]) -> None:
    """Write a state_dict as a model file that says which task it is for, whole or not at all."""
    save_model(path, tensors, {KEY: json.dumps(spec_of(task))})


def _batches(samples: Samples, epochs: int, batch: int, seed: int) -> Iterator[Indices]:
    n = len(samples)
    for epoch in range(1, epochs + 1):
        order = torch.randperm(n, generator=generator(seed, epoch, "order")).numpy()
        for start in range(0, max(1, n - batch + 1), batch):
            yield order[start : start + batch]


def _step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    samples: Samples,
    chosen: Indices,
    device: torch.device,
) -> float:
    """Do one step and return the mean cross-entropy before it, in nat."""
    labels = torch.from_numpy(np.asarray(samples.labels)[chosen]).to(device)
    loss = functional.cross_entropy(network(samples.inputs(chosen).to(device)), labels)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()
    return float(loss.item())
