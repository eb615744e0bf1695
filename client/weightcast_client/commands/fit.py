"""The command `client fit`: a model for a task, by a plain training."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast_client.options import PluginFiles, load_plugins, pairs, with_home


def fit(
    out: Annotated[
        Path, typer.Argument(help="File to write; it must not be there yet.", callback=with_home)
    ],
    task: Annotated[str, typer.Option(help="See `client tasks`.")],
    task_set: Annotated[
        list[str] | None, typer.Option(help="A param of the task, key=value; repeatable.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training samples.")] = 3,
    batch: Annotated[int, typer.Option(min=2, help="Samples per step.")] = 100,
    rate: Annotated[float, typer.Option(help="The first learning rate; it falls to 0.")] = 0.05,
    decay: Annotated[float, typer.Option(help="Weight decay.")] = 5e-4,
    seed: Annotated[int, typer.Option(help="Of the first weights and of the order.")] = 0,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first N training samples.")
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Train the network of a task, write it as safetensors and say how well it does.

    Stochastic gradient descent on the pictures as they are. The file says which task it is for, so
    that `client send` needs no --task. For the ResNet-18 of the paper see `client train`.

    Examples:

      client fit mnist.safetensors --task mnist --task-set model=cnn

      client fit my.safetensors --task torchvision --task-set model=resnet18 --task-set data=MNIST
    """
    from weightcast.channels.noiseless import Noiseless
    from weightcast.errors import ParameterError
    from weightcast.experiment.examiner import Examiner
    from weightcast.registry import build
    from weightcast.setup import Setup
    from weightcast.tasks import TASKS
    from weightcast.training import fitting
    from weightcast_client.screen.console import Screen
    from weightcast_client.settings import Settings

    if out.exists():
        raise ParameterError(f"'{out}' is there already")
    load_plugins(plugin)
    chosen = build(TASKS, {"name": task} | pairs(task_set), from_text=True)
    cache = Settings().cache
    with Screen() as screen:
        chosen.fetch(cache, screen.report)
        tensors = fitting.fit(
            chosen,
            chosen.samples(cache, "train", limit),
            epochs=epochs,
            batch=batch,
            rate=rate,
            decay=decay,
            seed=seed,
            report=screen.bar("training"),
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        fitting.save(out, chosen, tensors)
        setup = Setup(channel=Noiseless(), task=chosen)
        score = Examiner(cache).score(setup, tensors, screen.bar("test samples"))
    typer.echo(f"{out}: {score.accuracy:.2f} % of {score.n_samples:,} test samples", err=True)
