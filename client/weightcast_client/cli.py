"""The command `client`."""

from typing import Annotated

import typer

from weightcast_client.commands.convert import convert
from weightcast_client.commands.data import data
from weightcast_client.commands.equalise import equalise
from weightcast_client.commands.fit import fit
from weightcast_client.commands.inspect import inspect
from weightcast_client.commands.models import models
from weightcast_client.commands.registries import channels, decoders, schemes, tasks
from weightcast_client.commands.reproduce import reproduce
from weightcast_client.commands.send import send
from weightcast_client.commands.serve import serve
from weightcast_client.commands.summary import summary
from weightcast_client.commands.sweep import sweep
from weightcast_client.commands.train import train
from weightcast_client.options import show_version
from weightcast_client.settings import forget_notebook
from weightcast_web.running.command import run

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Send the weights of neural networks as analog symbols over a noisy link.

    Start with `client send --std 0.1`.
    """


app.command()(send)
app.command()(convert)
app.command()(equalise)
app.command()(fit)
app.command()(inspect)
app.command()(reproduce)
app.command()(serve)
app.command()(sweep)
app.command()(summary)
app.command()(train)
app.command()(schemes)
app.command()(decoders)
app.command()(channels)
app.command()(tasks)
app.command()(models)
app.command()(data)


def main() -> None:
    """Entry point."""
    forget_notebook()
    run(app)


if __name__ == "__main__":
    main()
