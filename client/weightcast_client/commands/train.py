"""The command `client train`: from images to a model with its card."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightcast.registry import lookup
from weightcast.training.recipes import RECIPES, SETTINGS, changed
from weightcast_client.options import pairs
from weightcast_client.provenance import program
from weightcast_client.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from weightcast.datasets.base import Samples
    from weightcast.tasks.cifar10.data import Labelled
    from weightcast.training.epochs import Training
    from weightcast.training.folder import Machine, Order, TrainingFolder

    Indices = npt.NDArray[np.int64]

ARCHITECTURE = "resnet18-cifar10"
N_IMAGES = 50_000
WEIGHTS_COST = 128
"""What a step costs whatever the size of its images, in pixels of an image: about, by the epochs of
`docs/training/l2-30-epochs.jsonl`."""


def train(
    setting: Annotated[str, typer.Argument(help=f"One of: {', '.join(SETTINGS)}.")],
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")] = "paper",
    epochs: Annotated[int | None, typer.Option(help="Instead of those of the recipe.")] = None,
    validation: Annotated[
        int | None,
        typer.Option(help="Training images held back to choose the epoch; 0: the last epoch."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another change of the recipe, key=value; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of all chance.")] = 0,
    limit: Annotated[
        int, typer.Option(min=1, max=N_IMAGES, help="Only the first N training images.")
    ] = N_IMAGES,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; on a busy machine one may be the fastest.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder; by default runs/SETTING-RECIPE-SEED.")
    ] = None,
) -> None:
    """Train ResNet-18 on CIFAR-10 in one of the four settings of the paper.

    The same command goes on where an interrupted training stopped, with the same result to the bit.

    Examples:

      client train l2 --recipe fast

      client train dropout --validation 5000 --seed 1

      client train l2 --recipe fast --set peak_rate=0.2 --set cutout=8
    """
    chosen = lookup(RECIPES, recipe, "recipe")
    chosen_setting = lookup(SETTINGS, setting, "setting")
    chosen = dataclasses.replace(
        changed(chosen, pairs(set_)),
        epochs=chosen.epochs if epochs is None else epochs,
        validation=chosen.validation if validation is None else validation,
    )

    from weightcast.training.folder import Order, TrainingFolder

    order = Order(
        architecture=ARCHITECTURE,
        setting_name=setting,
        setting=chosen_setting,
        recipe_name=recipe,
        recipe=chosen,
        seed=seed,
        n_images=limit,
    )
    path = out or Path("runs") / f"{setting}-{recipe}-{seed}"
    folder = TrainingFolder(path, order)
    if folder.is_done:
        typer.echo(f"the training in {path} is done: {_result(folder.card())}", err=True)
        return

    from weightcast.tasks.cifar10 import data
    from weightcast_client.screen.console import Screen

    cache = Settings().cache
    with Screen() as screen:
        data.fetch(cache, screen.report)
    train_into(folder, order, data.load(cache, "train"), data.load(cache, "test"), threads)
    typer.echo(f"{path}: {_result(folder.card())}", err=True)


def train_into(
    folder: "TrainingFolder",
    order: "Order",
    images: "Labelled",
    test: "Labelled",
    threads: int | None = None,
) -> None:
    """Do what is left of a training, evaluate the model once on the test images, write its card.

    Args:
        folder: of the training.
        order: what is trained.
        images: at least as many as the order says; the first of them are used.
        test: images that nothing is chosen by.
        threads: of torch; by default those of the checkpoint or, at the beginning, all.
    """
    import torch

    from weightcast.evaluation.loading import loaded
    from weightcast.tasks.cifar10 import Cifar10
    from weightcast.training.checkpoint import shipped
    from weightcast_client.screen.console import Screen

    machine = folder.machine(_here(), threads)
    torch.set_num_threads(machine.threads)
    training = _training(order, images, machine)
    folder.restore_into(training)
    _do_epochs(training, folder, order, machine)
    tensors = shipped(training.chosen())
    with Screen() as screen:
        task = Cifar10()
        network = loaded(task.network, tensors, order.architecture)
        score = task.score(network, _samples(test), screen.bar("test images"), "float32")
    found = {
        "chosen_epoch": training.chosen_epoch,
        "test_images": score.n_samples,
        "test_correct_float32": score.correct,
        "trained_by": program(),
        "seconds": round(sum(row["seconds"] for row in training.rows), 1),
    }
    folder.finish(tensors, found | dataclasses.asdict(machine))


def _here() -> "Machine":
    import torch

    from weightcast.evaluation.accuracy import best_arithmetic
    from weightcast.training.folder import Machine

    # Training is on the CPU even where evaluation is not: elsewhere it would not repeat to the bit.
    is_bfloat16 = best_arithmetic() == "bfloat16"
    return Machine("bfloat16" if is_bfloat16 else "float32", torch.get_num_threads())


def _training(order: "Order", images: "Labelled", machine: "Machine") -> "Training":
    from weightcast.datasets.samples import split
    from weightcast.tasks.cifar10.resnet import ResNet18
    from weightcast.training.epochs import Training, initialised

    kept, held_back = split(order.n_images, order.recipe.validation)
    return Training(
        initialised(lambda: ResNet18(order.setting.dropout), order.seed, order.recipe.first_scale),
        order.setting,
        order.recipe,
        order.seed,
        images.images[kept],
        images.labels[kept],
        machine.arithmetic,
        _validation(order, images, held_back, machine) if len(held_back) else None,
    )


def _validation(
    order: "Order", images: "Labelled", held_back: "Indices", machine: "Machine"
) -> Callable[[Mapping[str, "Tensor"]], float]:
    """Return a function from a state_dict to its accuracy, in %, on the images held back."""
    from weightcast.evaluation.loading import loaded
    from weightcast.tasks.cifar10 import Cifar10
    from weightcast.tasks.cifar10.data import Labelled

    task = Cifar10()
    samples = _samples(Labelled(images.images[held_back], images.labels[held_back]))

    def validate(tensors: Mapping[str, "Tensor"]) -> float:
        network = loaded(task.network, tensors, order.architecture)
        return task.score(network, samples, arithmetic=machine.arithmetic).accuracy

    return validate


def _samples(labelled: "Labelled") -> "Samples":
    from weightcast.datasets.samples import Pictures
    from weightcast.tasks.cifar10.task import normalised

    labels = labelled.labels.astype("int64")
    return Pictures(images=labelled.images, labels=labels, normalise=normalised)


def _do_epochs(
    training: "Training", folder: "TrainingFolder", order: "Order", machine: "Machine"
) -> None:
    """Do the epochs that are left; after each, save checkpoint, curves and figure."""
    from weightcast_client.screen.curves import draw
    from weightcast_client.screen.training import TrainingScreen

    title = f"{order.model_name}, {order.recipe_name} recipe, seed {order.seed}"
    sides = [order.recipe.side(epoch) for epoch in range(1, order.recipe.epochs + 1)]
    costs = [side**2 + WEIGHTS_COST for side in sides]
    with TrainingScreen(costs, len(training.rows)) as screen:
        while not training.is_done:
            screen.start(len(training.rows) + 1)
            row = training.do_epoch(screen.report)
            folder.save(training, machine)
            draw(training.rows, title, folder.curves_path.with_suffix(".svg"))
            screen.end(row)


def _result(card: Mapping[str, Any]) -> str:
    accuracy = 100 * card["test_correct_float32"] / card["test_images"]
    return f"test accuracy {accuracy:.2f} %, epoch {card['chosen_epoch']} of {card['epochs']}"
