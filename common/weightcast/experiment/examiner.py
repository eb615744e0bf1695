"""Examiner: what accuracy a model has, found in one place for all who ask."""

from __future__ import annotations

import dataclasses
import io
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weightcast.arrays import WeightSource
from weightcast.errors import DataError, ModelError
from weightcast.models.weights import Layout, Model, put_together
from weightcast.registry import build, spec_of
from weightcast.setup import Setup
from weightcast.tasks import TASKS, Fetching, Report, Samples, Score, Task
from weightcast.tasks.recognition import recognise

if TYPE_CHECKING:
    from torch import Tensor

KEPT = 4
"""Sets of samples kept in memory."""


class Examiner:
    """Examiner: scores models one after the other; samples are loaded once.

    Args:
        cache: folder of data sets.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._samples: OrderedDict[str, Samples] = OrderedDict()

    def score(
        self,
        setup: Setup,
        tensors: Mapping[str, Tensor],
        report: Report = lambda done, total: None,
        arithmetic: str | None = None,
    ) -> Score:
        """Return how well a model does at the task of a setup.

        Args:
            setup: with a task, a split and a number of samples.
            tensors: state_dict of the model, in any float type.
            report: is told (samples done, all samples).
            arithmetic: as in `Score`; None takes the best the machine has.

        Raises:
            ModelError: the tensors are not those of the task's network.
            DataError: the samples are not in the cache.
        """
        from weightcast.evaluation.loading import loaded

        task = _task(setup)
        network = loaded(task.network, tensors, task.name)
        return task.score(network, self.prepare(setup), report, arithmetic)

    def score_model(
        self,
        setup: Setup,
        model: Model,
        weights: WeightSource | None = None,
        report: Report = lambda done, total: None,
        arithmetic: str | None = None,
    ) -> Score:
        """Return how well a model does with these weights, by default its own; see `score`."""
        return self.score(setup, tensors_of(model, weights), report, arithmetic)

    def prepare(self, setup: Setup) -> Samples:
        """Load the samples, unless they are there, and return them; errors as for `score`."""
        from weightcast.evaluation.cuda import resident

        task = _task(setup)
        key = f"{spec_of(task)} {setup.split} {setup.n_samples}"
        if key not in self._samples:
            found = task.samples(self._cache, setup.split, setup.n_samples)
            self._samples[key] = resident(found)
            while len(self._samples) > KEPT:
                self._samples.popitem(last=False)
        return self._samples[key]


def ensure(setup: Setup, cache: Path, report: Fetching) -> None:
    """Fetch the data of a setup's task unless the samples that it names are in the cache."""
    if setup.task is None:
        return
    try:
        setup.task.samples(cache, setup.split, setup.n_samples)
    except DataError:
        setup.task.fetch(cache, report)


def task_of(model: Model) -> Task | None:
    """Return what a model is recognised as, or None."""
    spec = recognise((*model.layout.weights, *model.layout.carried), model.metadata)
    return None if spec is None else build(TASKS, spec)


def known_task_of(model: Model, task: Task | None = None) -> Task:
    """Return the task of a model: the one given, which must fit, or what it is recognised as.

    Raises:
        ModelError: it fits none, or not the one given.
    """
    if task is None:
        found = task_of(model)
        if found is None:
            raise ModelError(
                "no task is known for this model's tensors: name one (--task), or send it without"
                " evaluation (--no-evaluate)"
            )
        return found
    import torch

    from weightcast.evaluation.loading import loaded

    tensors = (*model.layout.weights, *model.layout.carried)
    loaded(task.network, {t.name: torch.empty(t.shape, device="meta") for t in tensors}, task.name)
    return task


def setup_for(spec: Mapping[str, Any], model: Model, *, from_text: bool = False) -> Setup:
    """Return the setup of a send; where it names no task, the task is what the model shows.

    Args:
        spec: fields of a setup; ``"task": None`` asks for no accuracy.
        model: to be sent.
        from_text: as for `registry.build`.

    Raises:
        UnknownNameError, ParameterError: as for `registry.build`.
        ModelError: as for `known_task_of`.
    """
    setup = Setup.from_spec(spec, from_text=from_text)
    if "task" in spec and setup.task is None:
        return setup
    return dataclasses.replace(setup, task=known_task_of(model, setup.task))


def tensors_of(model: Model, weights: WeightSource | None = None) -> dict[str, Tensor]:
    """Return the state_dict of a model with these weights, by default its own, as float32."""
    import torch
    from safetensors.torch import load

    source = model if weights is None else weights
    file = io.BytesIO()
    carried = Layout((), model.layout.carried)
    put_together(file, carried, (), {tensor.name: raw for tensor, raw in model.carried()})
    tensors: dict[str, Tensor] = load(file.getvalue())
    end = 0
    for tensor in model.layout.weights:
        start, end = end, end + tensor.n_values
        values = np.array(source[start:end]).reshape(tensor.shape)
        tensors[tensor.name] = torch.from_numpy(values)
    return tensors


def _task(setup: Setup) -> Task:
    if setup.task is None:
        raise ModelError("this setup has no task, so that no accuracy can be found")
    return setup.task
