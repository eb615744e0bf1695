"""The command `client convert`: a file of torch.save as a safetensors file."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast_client.options import with_home


def convert(
    file: Annotated[
        Path,
        typer.Argument(help="A file of torch.save: .pth, .pt, .bin or .ckpt.", callback=with_home),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            help="File to write; without it FILE with the suffix .safetensors.", callback=with_home
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the file if it is there.")
    ] = False,
) -> None:
    """Write the tensors of a file of torch.save as safetensors, which `client send` takes.

    Nothing in the file is run. The tensors may be at its top or under state_dict, model_state_dict,
    model, net or params; all else is left out.

    Examples:

      client convert checkpoint.pth

      client convert checkpoint.pth model.safetensors --force
    """
    from weightcast.models.convert import convert as convert_file
    from weightcast.models.naming import shown, some

    out = out or file.with_suffix(".safetensors")
    done = convert_file(file, out, replace=force)
    where = f" under '{done.key}'" if done.key else ""
    typer.echo(f"{out}: {done.n_tensors:,} tensors, {done.n_bytes:,} bytes{where}", err=True)
    if done.dropped:
        names = some([shown(name) for name in done.dropped], limit=5)
        typer.echo(f"left out, not tensors of the model: {names}", err=True)
