"""A training from its order to the model with its card, on whatever device; it may stop between."""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from weightcast.datasets.base import Report, Samples
from weightcast.datasets.samples import Pictures, split
from weightcast.errors import ParameterError
from weightcast.evaluation.accuracy import best_arithmetic
from weightcast.evaluation.loading import loaded
from weightcast.tasks.cifar10 import Cifar10
from weightcast.tasks.cifar10.data import Labelled
from weightcast.tasks.cifar10.resnet import ResNet18
from weightcast.tasks.cifar10.task import normalised, normalised_on_device
from weightcast.training.augmentation import Batches
from weightcast.training.checkpoint import shipped
from weightcast.training.epochs import Row, Training, Validate, initialised
from weightcast.training.folder import Machine, Order, TrainingFolder
from weightcast.training.steps import Graph, Steps

DEVICES = ("auto", "cpu", "cuda")

SAVE_EVERY_S = 30.0
"""Between two checkpoints on CUDA, where an epoch may take no longer than writing one."""

VALIDATED_AT_ONCE = 1000
"""Images, on CUDA."""


class Watch(Protocol):
    """Whoever sees the epochs of a training go by."""

    def start(self, epoch: int, /) -> None:
        """Take note that an epoch begins: 1, 2, ..."""

    def report(self, done: int, total: int, loss: float, accuracy: float, /) -> None:
        """Take note of how far it is; see `Training.do_epoch`."""

    def end(self, row: Row, /) -> None:
        """Take note of its row of the curves."""


def machine_for(
    folder: TrainingFolder, device: str = "auto", threads: int | None = None, **changes: Any
) -> tuple[Machine, str | None]:
    """Return what a training is done on, and a warning if it then cannot repeat to the bit.

    Args:
        folder: of the training; what it was begun on is kept where it can be.
        device: `auto`, `cpu` or `cuda`.
        threads: of torch; by default those it was begun with or, at the beginning, all.
        changes: other fields of `Machine` for a new training.

    Raises:
        ParameterError: there is no such device here, or it was begun with other threads.
    """
    has_cuda = torch.cuda.is_available()
    if device not in DEVICES:
        raise ParameterError(f"device must be one of {', '.join(DEVICES)}, got '{device}'")
    if device == "cuda" and not has_cuda:
        raise ParameterError("device cannot be 'cuda': torch sees no such device here")
    kind = ("cuda" if has_cuda else "cpu") if device == "auto" else device
    here = Machine(_arithmetic_of(kind), torch.get_num_threads(), kind)
    found = folder.machine(dataclasses.replace(here, **changes), threads)
    if found.device != kind and (device != "auto" or not has_cuda):
        moved = f"begun on {found.device}, goes on on {kind}: it does not repeat to the bit"
        return dataclasses.replace(found, device=kind, is_compiled=False), moved
    repeats = "a training on CUDA does not repeat to the bit, one on the CPU does"
    return found, repeats if found.device == "cuda" else None


def _arithmetic_of(device: str) -> str:
    if device == "cuda":
        return "bfloat16"
    return "float32" if best_arithmetic() == "float32" else "bfloat16"


def training_of(order: Order, images: Labelled, machine: Machine) -> Training:
    """Return an order's training before its first epoch, or before it is restored.

    Args:
        order: what is trained.
        images: at least as many as the order says; the first of them are used.
        machine: what it is done on.
    """
    kept, held_back = split(order.n_images, order.recipe.validation)
    network = initialised(
        lambda: ResNet18(order.setting.dropout), order.seed, order.recipe.first_scale
    ).to(machine.device)
    steps = Steps(
        network,
        order.setting,
        order.recipe,
        machine.arithmetic,
        record=Graph if machine.device == "cuda" else None,
        is_compiled=machine.is_compiled,
    )
    batches = Batches(
        order.recipe, order.seed, images.images[kept], images.labels[kept], machine.device
    )
    if not len(held_back):
        return Training(steps, batches)
    held = Labelled(images.images[held_back], images.labels[held_back])
    on_device = validation_on_device if machine.device == "cuda" else _validation
    return Training(steps, batches, on_device(held, machine))


def _validation(held: Labelled, machine: Machine) -> Validate:
    """Return a function from a state_dict to its accuracy, in %, on the images held back."""
    task, samples = Cifar10(), samples_of(held)

    def validate(tensors: Mapping[str, Tensor]) -> float:
        network = loaded(task.network, tensors, task.name)
        return task.score(network, samples, arithmetic=machine.arithmetic).accuracy

    return validate


def validation_on_device(held: Labelled, machine: Machine) -> Validate:
    """Return the same as a function that leaves the images, and a network, on the device."""
    images = torch.from_numpy(held.images).to(machine.device)
    labels = torch.from_numpy(held.labels).long().to(machine.device)
    network: nn.Module = ResNet18().to(machine.device).eval()
    network = network.to(memory_format=torch.channels_last)
    is_narrow = machine.arithmetic == "bfloat16"

    @torch.no_grad()
    def validate(tensors: Mapping[str, Tensor]) -> float:
        network.load_state_dict(tensors)
        correct = torch.zeros((), dtype=torch.int64, device=machine.device)
        with torch.autocast(machine.device, torch.bfloat16, enabled=is_narrow):
            for start in range(0, len(images), VALIDATED_AT_ONCE):
                x = normalised_on_device(images[start : start + VALIDATED_AT_ONCE])
                chosen = network(x).argmax(1)
                correct += (chosen == labels[start : start + VALIDATED_AT_ONCE]).sum()
        return 100 * correct.item() / len(images)

    return validate


def do_epochs(
    training: Training,
    folder: TrainingFolder,
    machine: Machine,
    watch: Watch,
    *,
    drawn: Callable[[list[Row]], object] = lambda rows: None,
    until: Callable[[float], bool] = lambda seconds: False,
) -> None:
    """Do the epochs that are left, leaving checkpoint and curves on the way.

    Args:
        training: as it was restored.
        folder: where the checkpoint goes: after each epoch on the CPU, on CUDA every half minute.
        machine: what it is done on.
        watch: is told of each epoch.
        drawn: is given the curves after each checkpoint.
        until: given the seconds of an epoch, says whether to stop before one more.
    """
    saved, at_most = time.monotonic(), 0.0 if machine.device == "cpu" else SAVE_EVERY_S
    while not training.is_done:
        watch.start(len(training.rows) + 1)
        row = training.do_epoch(watch.report)
        is_last = training.is_done or until(row["seconds"])
        if is_last or time.monotonic() - saved >= at_most:
            folder.save(training, machine)
            drawn(training.rows)
            saved = time.monotonic()
        watch.end(row)
        if is_last:
            return


def finish(
    training: Training,
    folder: TrainingFolder,
    machine: Machine,
    test: Labelled,
    trained_by: str,
    report: Report = lambda done, total: None,
) -> dict[str, Any]:
    """Write the model that was chosen and, evaluated once on the test images, its card.

    Args:
        training: all of its epochs are done.
        folder: where they go.
        machine: what it was done on.
        test: images that nothing is chosen by.
        trained_by: the program, for the card.
        report: is told how far the evaluation is.

    Returns:
        The card.
    """
    tensors = shipped({name: tensor.cpu() for name, tensor in training.chosen().items()})
    task = Cifar10()
    network = loaded(task.network, tensors, task.name)
    score = task.score(network, samples_of(test), report, "float32")
    found = {
        "chosen_epoch": training.chosen_epoch,
        "test_images": score.n_samples,
        "test_correct_float32": score.correct,
        "trained_by": trained_by,
        "seconds": round(sum(row["seconds"] for row in training.rows), 1),
    }
    is_cuda = machine.device == "cuda"
    place = f"cuda: {torch.cuda.get_device_name()}" if is_cuda else machine.device
    facts = dataclasses.asdict(machine) | {"device": place, "repeats_to_the_bit": not is_cuda}
    return folder.finish(tensors, found | facts)


def samples_of(labelled: Labelled) -> Samples:
    """Return images and labels as samples of the task `cifar10`."""
    labels: npt.NDArray[np.int64] = labelled.labels.astype(np.int64)
    return Pictures(images=labelled.images, labels=labels, normalise=normalised)
