"""Training, an epoch at a time; it goes on after a kill as if nothing had happened.

All chance of an epoch (order, crops, flips, dropout) comes from generators made of the seed and the
number of the epoch, and the state after an epoch is the parameters, the batch-norm statistics and
the momentum. So an epoch that was cut short is done again, and gives the same bits as long as the
number of threads, the arithmetic and the version of torch are the same. On CUDA it does not: sums
are added up there in an order that changes, and the last digits change with it.
"""

import math
import time
from collections.abc import Callable, Mapping
from itertools import chain, count, islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from weightcast.datasets.samples import generator
from weightcast.errors import ModelError
from weightcast.training.augmentation import Batches
from weightcast.training.steps import Steps

Report = Callable[[int, int, float, float], None]
Validate = Callable[[Mapping[str, Tensor]], float]
Row = dict[str, Any]

REPORT_EVERY = 25
"""Steps on CUDA after which Python waits for what they found."""


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
        steps: on the model.
        batches: of the images, none of them held back, on the model's device.
        validate: returns the accuracy of a state_dict, in %, on images held back; without it the
            last epoch is chosen.
    """

    def __init__(self, steps: Steps, batches: Batches, validate: Validate | None = None) -> None:
        self._steps, self._batches, self._validate = steps, batches, validate
        self._model, self._optimiser = steps.model, steps.optimiser
        self._recipe, self._seed = batches.recipe, batches.seed
        self._mean = running_mean(steps.model, self._recipe.average)
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
        return self._present() if self._validate is None else self._best

    def _present(self) -> dict[str, Tensor]:
        """Return the tensors as the last step left them, or their running mean."""
        if self._mean is None:
            return self._model.state_dict()
        return dict(self._mean.module.state_dict())

    def do_epoch(self, report: Report = lambda done, total, loss, accuracy: None) -> Row:
        """Do the next epoch and return its row of the curves.

        Args:
            report: called after each step, on CUDA after every few, with (steps done, all steps,
                mean loss and accuracy in % so far).

        Raises:
            ModelError: the loss is not finite.
        """
        start = time.perf_counter()
        epoch = len(self.rows) + 1
        self._steps.draw_from(generator(self._seed, epoch, "dropout"))
        n_steps, n = len(self._batches), 0
        every = 1 if self._steps.device.type == "cpu" else REPORT_EVERY
        self._model.train()
        total = torch.zeros((), dtype=torch.float64, device=self._steps.device)
        right = torch.zeros((), dtype=torch.int64, device=self._steps.device)
        for i, (x, labels) in enumerate(self._batches.epoch(epoch)):
            step = (epoch - 1) * n_steps + i
            rate = self._recipe.rate(step, self._recipe.epochs * n_steps)
            found = self._steps.do(x, labels, rate)
            if self._mean is not None:
                self._mean.update_parameters(self._model)
            total += found.loss.double() * len(labels)
            right += found.correct
            n += len(labels)
            if (i + 1) % every == 0 or i + 1 == n_steps:
                loss, correct = total.item(), right.item()
                report(i + 1, n_steps, loss / n, 100 * correct / n)
        if not math.isfinite(loss):
            raise ModelError(f"the loss of epoch {epoch} became {loss}; the rate may be too high")
        row = {"epoch": epoch, "rate": rate, "loss": loss / n, "accuracy": 100 * correct / n}
        if self._validate is not None:
            row["validation_accuracy"] = self._validate(self._present())
        row["seconds"] = round(time.perf_counter() - start, 2)
        self.rows.append(row)
        if self._validate is not None and self.chosen_epoch == epoch:
            self._best = {name: t.clone() for name, t in self._present().items()}
        return row

    def time_steps(self, n: int) -> tuple[int, float]:
        """Return how many images the steps of ``n`` whole batches take, and their seconds.

        They are of the last epoch; half as many come before, untimed. The model is of no use
        afterwards.
        """
        self._model.train()
        self._steps.draw_from(generator(self._seed, 1, "dropout"))
        wait = torch.get_device_module(self._steps.device).synchronize
        last = self._recipe.epochs
        epochs = chain.from_iterable(self._batches.epoch(last) for _ in count())
        whole = (pair for pair in epochs if len(pair[1]) == self._recipe.batch)
        began = 0.0
        for i, (x, labels) in enumerate(islice(whole, n // 2 + n)):
            if i == n // 2:
                wait()
                began = time.perf_counter()
            self._steps.do(x, labels, self._recipe.rate(i, 2 * n))
        wait()
        return n * self._recipe.batch, time.perf_counter() - began

    def state(self) -> dict[str, Tensor]:
        """Return all tensors that the next epochs and the result depend on."""
        found = {f"model/{name}": tensor for name, tensor in self._model.state_dict().items()}
        found |= {f"best/{name}": tensor for name, tensor in self._best.items()}
        if self._mean is not None:
            found |= {f"mean/{name}": tensor for name, tensor in self._mean.state_dict().items()}
        for name, parameter in self._model.named_parameters():
            if parameter in self._optimiser.state:
                momentum = self._optimiser.state[parameter]["momentum_buffer"]
                found[f"momentum/{name}"] = momentum
        return found

    def restore(self, state: Mapping[str, Tensor], rows: list[Row]) -> None:
        """Go back to a state and the rows of the epochs before it."""
        self._model.load_state_dict(_part(state, "model"))
        self._best = _part(state, "best")
        if self._mean is not None:
            self._mean.load_state_dict(_part(state, "mean"))
        momentum = _part(state, "momentum")
        for name, parameter in self._model.named_parameters():
            buffer = torch.empty_like(parameter).copy_(momentum[name])
            self._optimiser.state[parameter]["momentum_buffer"] = buffer
        self.rows = list(rows)


def running_mean(model: nn.Module, decay: float) -> AveragedModel | None:
    """Return what keeps the exponential mean of all tensors of a model, or None for decay 0.

    Source: Polyak & Juditsky, "Acceleration of stochastic approximation by averaging", 1992, in the
    exponential form of Morales-Brotons et al., "Exponential moving average of weights in deep
    learning", TMLR 2024.
    """
    if not decay:
        return None
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def _part(state: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    prefix = f"{part}/"
    return {k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)}
