"""Training, an epoch at a time; it goes on after a kill as if nothing had happened.

All chance of an epoch (order, crops, flips, dropout) comes from generators made of the seed and the
number of the epoch, and the state after an epoch is the parameters, the batch-norm statistics and
the momentum. So an epoch that was cut short is done again, and gives the same bits as long as the
number of threads, the arithmetic and the version of torch are the same.
"""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from weightcast.datasets.samples import generator
from weightcast.errors import ModelError
from weightcast.training.augmentation import Batches
from weightcast.training.recipes import Recipe, Setting

Report = Callable[[int, int, float, float], None]
Validate = Callable[[Mapping[str, Tensor]], float]
Row = dict[str, Any]


def initialised(build: Callable[[], nn.Module], seed: int, scale: float = 1.0) -> nn.Module:
    """Return a new model, in channels_last, whose first weights are drawn by the seed alone.

    Args:
        build: makes the model, with the first weights of torch.
        seed: of the first weights.
        scale: what those of the convolutions are multiplied by. Before batch norm this changes
            nothing but how far a step of some rate turns them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator(seed, 0, "weights").get_state())
        model = build()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight *= scale
    return model.to(memory_format=torch.channels_last)


class Training:
    """One model that is being trained.

    Args:
        model: maps inputs (n, 3, 32, 32) and a generator for dropout to logits (n, n_classes).
        setting: how it is regularised; the dropout itself is in the model.
        recipe: how it is trained.
        seed: of all chance.
        images: uint8, shape (n, 32, 32, 3), none of them held back.
        labels: uint8, shape (n,).
        arithmetic: `bfloat16` (of products only: parameters, sums and batch-norm statistics stay
            float32) or `float32`.
        validate: returns the accuracy of a state_dict, in %, on images held back; without it the
            last epoch is chosen.
    """

    def __init__(
        self,
        model: nn.Module,
        setting: Setting,
        recipe: Recipe,
        seed: int,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        arithmetic: str,
        validate: Validate | None = None,
    ) -> None:
        self._batches = Batches(recipe, seed, images, labels)
        self._model, self._setting, self._recipe, self._seed = model, setting, recipe, seed
        self._arithmetic, self._validate = arithmetic, validate
        self._optimiser = torch.optim.SGD(
            model.parameters(),
            lr=recipe.peak_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=setting.l2,
        )
        self._best: dict[str, Tensor] = {}
        self.rows: list[Row] = []

    @property
    def is_done(self) -> bool:
        """Whether all epochs are done."""
        return len(self.rows) >= self._recipe.epochs

    @property
    def chosen_epoch(self) -> int:
        """The epoch that `chosen` is from: the first of the best by validation, else the last."""
        if self._validate is None:
            return len(self.rows)
        best = max(self.rows, key=lambda row: (row["validation_accuracy"], -row["epoch"]))
        return int(best["epoch"])

    def chosen(self) -> dict[str, Tensor]:
        """Return the tensors of the chosen epoch: a state_dict, float32."""
        return self._model.state_dict() if self._validate is None else self._best

    def do_epoch(self, report: Report = lambda done, total, loss, accuracy: None) -> Row:
        """Do the next epoch and return its row of the curves.

        Args:
            report: called after each step with (steps done, all steps, mean loss and accuracy in %
                so far).

        Raises:
            ModelError: the loss is not finite.
        """
        start = time.perf_counter()
        epoch = len(self.rows) + 1
        chance = generator(self._seed, epoch, "dropout")
        n_steps = len(self._batches)
        loss = correct = n = 0.0
        self._model.train()
        for i, (x, labels) in enumerate(self._batches.epoch(epoch)):
            step = (epoch - 1) * n_steps + i
            rate = self._recipe.rate(step, self._recipe.epochs * n_steps)
            batch_loss, batch_correct = self._step(x, labels, chance, rate)
            loss += batch_loss * len(labels)
            correct += batch_correct
            n += len(labels)
            report(i + 1, n_steps, loss / n, 100 * correct / n)
        if not math.isfinite(loss):
            raise ModelError(f"the loss of epoch {epoch} became {loss}; the rate may be too high")
        row = {"epoch": epoch, "rate": rate, "loss": loss / n, "accuracy": 100 * correct / n}
        if self._validate is not None:
            row["validation_accuracy"] = self._validate(self._model.state_dict())
        row["seconds"] = round(time.perf_counter() - start, 2)
        self.rows.append(row)
        if self._validate is not None and self.chosen_epoch == epoch:
            self._best = {name: t.clone() for name, t in self._model.state_dict().items()}
        return row

    def _step(
        self, x: Tensor, labels: Tensor, chance: torch.Generator, rate: float
    ) -> tuple[float, int]:
        """Do one step and return the mean cross-entropy, in nat, and the right answers."""
        in_bfloat16 = self._arithmetic == "bfloat16"
        with torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16):
            logits = self._model(x, chance)
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=self._recipe.smoothing
        )
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self._setting.l1:
            add_l1_gradient_into(self._model, self._setting.l1)
        self._optimiser.param_groups[0]["lr"] = rate
        self._optimiser.step()
        return loss.item(), int((logits.argmax(1) == labels).sum())

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that the next epochs and the result depend on."""
        found = {f"model/{name}": tensor for name, tensor in self._model.state_dict().items()}
        found |= {f"best/{name}": tensor for name, tensor in self._best.items()}
        for name, parameter in self._model.named_parameters():
            if parameter in self._optimiser.state:
                momentum = self._optimiser.state[parameter]["momentum_buffer"]
                found[f"momentum/{name}"] = momentum
        return found

    def restore(self, state: Mapping[str, Tensor], rows: list[Row]) -> None:
        """Go back to a state and the rows of the epochs before it."""
        self._model.load_state_dict(_part(state, "model"))
        self._best = _part(state, "best")
        momentum = _part(state, "momentum")
        for name, parameter in self._model.named_parameters():
            buffer = torch.empty_like(parameter).copy_(momentum[name])
            self._optimiser.state[parameter]["momentum_buffer"] = buffer
        self.rows = list(rows)


def add_l1_gradient_into(model: nn.Module, l1: float) -> None:
    """Add the gradient of ``l1 * sum |p|`` over all parameters p to the gradients in the model."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad.add_(parameter.detach().sign(), alpha=l1)


def _part(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}/"
    return {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
