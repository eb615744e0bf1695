"""The command `client train`: from images to a model with its card."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weightcast.registry import lookup
from weightcast.training.recipes import RECIPES, SETTINGS, changed
from weightcast_client.options import pairs, with_home
from weightcast_client.provenance import program
from weightcast_client.settings import Settings

if TYPE_CHECKING:
    from weightcast.tasks.cifar10.data import Labelled
    from weightcast.training.folder import Machine, Order, TrainingFolder

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
    device: Annotated[
        str, typer.Option(help="auto, cpu or cuda; auto takes cuda where there is one.")
    ] = "auto",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Let torch.compile fuse operations; for CUDA.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder; by default runs/SETTING-RECIPE-SEED.", callback=with_home),
    ] = None,
) -> None:
    """Train ResNet-18 on CIFAR-10 in one of the four settings of the paper.

    The same command goes on where an interrupted training stopped; on the CPU with the same result
    to the bit.

    Examples:

      client train l2 --recipe fast

      client train dropout --validation 5000 --seed 1

      client train l2 --device cuda

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
    from weightcast.training.session import machine_for
    from weightcast_client.screen.console import Screen

    machine, warning = machine_for(folder, device, threads, is_compiled=compile_)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    cache = Settings().cache
    with Screen() as screen:
        data.fetch(cache, screen.report)
    train_into(folder, order, machine, data.load(cache, "train"), data.load(cache, "test"))
    typer.echo(f"{path}: {_result(folder.card())}", err=True)


def train_into(
    folder: "TrainingFolder",
    order: "Order",
    machine: "Machine",
    images: "Labelled",
    test: "Labelled",
) -> None:
    """Do what is left of a training, evaluate the model once on the test images, write its card.

    Args:
        folder: of the training.
        order: what is trained.
        machine: what it is done on.
        images: at least as many as the order says; the first of them are used.
        test: images that nothing is chosen by.
    """
    import torch

    from weightcast.training.session import do_epochs, finish, training_of
    from weightcast_client.screen.console import Screen
    from weightcast_client.screen.curves import draw
    from weightcast_client.screen.training import TrainingScreen

    torch.set_num_threads(machine.threads)
    training = training_of(order, images, machine)
    folder.restore_into(training)
    title = f"{order.model_name}, {order.recipe_name} recipe, seed {order.seed}"
    figure = folder.curves_path.with_suffix(".svg")
    sides = [order.recipe.side(epoch) for epoch in range(1, order.recipe.epochs + 1)]
    costs = [side**2 + WEIGHTS_COST for side in sides]
    with TrainingScreen(costs, len(training.rows)) as screen:
        do_epochs(training, folder, machine, screen, drawn=lambda rows: draw(rows, title, figure))
    with Screen() as screen:
        finish(training, folder, machine, test, program(), screen.bar("test images"))


def _result(card: Mapping[str, Any]) -> str:
    accuracy = 100 * card["test_correct_float32"] / card["test_images"]
    return f"test accuracy {accuracy:.2f} %, epoch {card['chosen_epoch']} of {card['epochs']}"
