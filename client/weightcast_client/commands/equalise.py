"""The command `client equalise`: the same model in weights that stand more noise."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast_client.options import with_home


def equalise(
    model: Annotated[
        str, typer.Argument(help="A shipped model (see `client models`) or a safetensors file.")
    ],
    out: Annotated[
        Path, typer.Argument(help="File to write; it must not be there yet.", callback=with_home)
    ],
    scope: Annotated[
        str, typer.Option(help="What gets a factor of its own: layer or channel.")
    ] = "channel",
    strength: Annotated[
        float, typer.Option(help="0 .. 1; 1 makes all largest magnitudes equal.")
    ] = 1.0,
) -> None:
    """Write a model that computes the same, with convolutions of equal largest magnitude.

    Batch norm undoes the factors, so the clean accuracy stays; the noise on small layers does not.

    Examples:

      client equalise resnet18-cifar10-l2 equal.safetensors

      client send --std 0.1 --scheme unprotected --model equal.safetensors
    """
    from safetensors.torch import load_file

    from weightcast.errors import ParameterError
    from weightcast.experiment.examiner import known_task_of
    from weightcast.models import zoo
    from weightcast.models.weights import open_model
    from weightcast.training.checkpoint import save_model
    from weightcast.training.equalisation import equalised

    if out.exists():
        raise ParameterError(f"'{out}' is there already")
    with open_model(zoo.find(model)) as opened:
        task = known_task_of(opened)
        tensors = {k: v for path in opened.files for k, v in load_file(path).items()}
        metadata = dict(opened.metadata)
    found = equalised(task.network, tensors, scope, strength, task.name)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_model(out, found, metadata)
    typer.echo(f"{out}: {model}, equalised by {scope} with strength {strength:g}", err=True)
