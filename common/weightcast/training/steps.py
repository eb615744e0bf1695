"""Steps of a descent: on the CPU one operation after the other, on CUDA as one graph.

A graph of CUDA is a step's kernels recorded once and launched together, so that no kernel waits for
Python. The first steps of each shape of the inputs are done one operation after the other, which
also lets cuDNN choose its algorithms; then the step is recorded. The last batch of an epoch, if it
is smaller than the others, never is.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from weightcast.training.recipes import Recipe, Setting

N_BEFORE_RECORDING = 3
"""Steps that are done before one of their shape is recorded."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step found, where it was done, so that nobody waits for it.

    Args:
        loss: mean cross-entropy of the batch, in nat, shape ().
        correct: right answers, int64, shape ().
    """

    loss: Tensor
    correct: Tensor


class Recorded(Protocol):
    """A step that was recorded for inputs of one shape."""

    def do(self, x: Tensor, labels: Tensor) -> Outcome:
        """Do the step with inputs of that shape."""
        ...


Step = Callable[[Tensor, Tensor], Outcome]
Record = Callable[[Step, Tensor, Tensor, torch.Generator], Recorded]
"""Records a step for inputs of the shapes given, with what it draws from, without doing it."""


class Steps:
    """Steps on one model, on the device of its parameters.

    Args:
        model: maps inputs and a generator for dropout to logits.
        setting: how it is regularised.
        recipe: how it is trained.
        arithmetic: `bfloat16` (of products only) or `float32`.
        record: how whole steps are recorded, such as `Graph`; None: they are not.
        is_compiled: whether torch.compile fuses operations, which takes a minute at the first step
            and changes the rounding.
    """

    def __init__(
        self,
        model: nn.Module,
        setting: Setting,
        recipe: Recipe,
        arithmetic: str,
        *,
        record: Record | None = None,
        is_compiled: bool = False,
    ) -> None:
        self.model, self._setting, self._recipe = model, setting, recipe
        self.device = next(model.parameters()).device
        self._arithmetic, self._record = arithmetic, record
        self._forward: Callable[..., Tensor] = (
            torch.compile(model, dynamic=False) if is_compiled else model
        )
        # A recorded step reads its rate from memory, where it can be changed.
        rate = torch.tensor(recipe.peak_rate, device=self.device)
        self.optimiser = torch.optim.SGD(
            model.parameters(),
            lr=recipe.peak_rate if record is None else rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=setting.l2,
            fused=None if record is None else True,
        )
        self._chance = torch.Generator(self.device)
        self._recorded: dict[torch.Size, Recorded] = {}
        self._n_done: Counter[torch.Size] = Counter()

    def draw_from(self, chance: torch.Generator) -> None:
        """Let dropout in the next steps be drawn from the seed of a generator."""
        self._chance.manual_seed(chance.initial_seed())

    def do(self, x: Tensor, labels: Tensor, rate: float) -> Outcome:
        """Do a step.

        Args:
            x: shape (batch, channels, side, side), on the device of the model.
            labels: int64, shape (batch,).
            rate: the learning rate of this step.
        """
        self._set_rate(rate)
        if self._record is None:
            return self._do_at_once(x, labels)
        if len(x) < self._recipe.batch:
            return self._do_aside(x, labels)
        if x.shape not in self._recorded:
            if self._n_done[x.shape] < N_BEFORE_RECORDING:
                self._n_done[x.shape] += 1
                return self._do_aside(x, labels)
            step = self._record(self._do_at_once, x, labels, self._chance)
            self._recorded[x.shape] = step
        return self._recorded[x.shape].do(x, labels)

    def _set_rate(self, rate: float) -> None:
        group = self.optimiser.param_groups[0]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def _do_at_once(self, x: Tensor, labels: Tensor) -> Outcome:
        forward = self._forward if len(x) == self._recipe.batch else self.model
        is_narrow = self._arithmetic == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=is_narrow):
            logits = forward(x, self._chance)
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=self._recipe.smoothing
        )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._setting.l1:
            add_l1_gradient_into(self.model, self._setting.l1)
        self.optimiser.step()
        return Outcome(loss.detach(), (logits.argmax(1) == labels).sum())

    def _do_aside(self, x: Tensor, labels: Tensor) -> Outcome:
        """Do a step in a stream of its own, as CUDA asks for before a step is recorded."""
        device = torch.get_device_module(self.device)
        aside = device.Stream()
        aside.wait_stream(device.current_stream())
        with device.stream(aside):
            outcome = self._do_at_once(x, labels)
        device.current_stream().wait_stream(aside)
        return outcome


class Graph:
    """A step recorded as a graph of CUDA.

    Args:
        step: what is recorded.
        x, labels: inputs of the shapes it is recorded for, on CUDA.
        chance: what it draws from.

    Source: PyTorch documentation, "CUDA semantics", section "CUDA graphs".
    """

    def __init__(self, step: Step, x: Tensor, labels: Tensor, chance: torch.Generator) -> None:
        self._x, self._labels = x.clone(), labels.clone()
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(chance)
        with torch.cuda.graph(self._graph):
            self._outcome = step(self._x, self._labels)

    def do(self, x: Tensor, labels: Tensor) -> Outcome:
        """Do the step with other inputs."""
        self._x.copy_(x)
        self._labels.copy_(labels)
        self._graph.replay()
        return Outcome(self._outcome.loss.clone(), self._outcome.correct.clone())


def add_l1_gradient_into(model: nn.Module, l1: float) -> None:
    """Add the gradient of ``l1 * sum |p|`` over all parameters p to the gradients in the model."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach().sign(), alpha=l1)
