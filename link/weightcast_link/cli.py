"""The command `weightcast-link`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from weightcast_link.settings import Settings
from weightcast_web.running.command import run as run_command
from weightcast_web.running.imports import without_collection

app = typer.Typer(add_completion=False, rich_markup_mode=None)
GIVES_WAY = 4
"""Niceness of a link that a sender starts: the receiver's worker, which loads torch at the same
time, is what the sender waits for longest."""


@app.command()
def run(
    receiver: Annotated[str | None, typer.Option(help="URL of the receiver.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(help="A Python file with things of one's own; repeatable."),
    ] = None,
    attached: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the noisy link: pass everything on to the receiver, add the channel's noise to symbols.

    Options that are not given come from the environment: WEIGHTCAST_LINK_RECEIVER,
    WEIGHTCAST_LINK_HOST, WEIGHTCAST_LINK_PORT.
    """
    if attached is not None:
        os.nice(GIVES_WAY)
    with without_collection():
        from weightcast.channels import CHANNELS
        from weightcast_link.app import create_app
        from weightcast_web.running.run import serve
        from weightcast_web.running.sockets import listen
        from weightcast_web.telemetry import logs

    given = {"receiver": receiver, "host": host, "port": port, "plugins": plugin or None}
    settings = Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    logs.begin("link", settings, attached=attached is not None)
    settings.load_plugins((CHANNELS,))
    listener = listen(settings, attached)
    serve(create_app(settings), listener, settings, attached=attached is not None)


def main() -> None:
    """Entry point."""
    run_command(app)


if __name__ == "__main__":
    main()
