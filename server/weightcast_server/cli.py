"""The command `server`."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from weightcast_server.settings import Settings
from weightcast_web.running.command import run as run_command
from weightcast_web.running.imports import without_collection

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback()
def root() -> None:
    """The receiver of weightcast: collects noisy symbols, decodes and evaluates the model."""


@app.command()
def run(
    data: Annotated[Path | None, typer.Option(help="Folder of parts and results.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of data sets.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    evaluate: Annotated[
        bool | None, typer.Option(help="Load CIFAR-10's test set at start.")
    ] = None,
    plugin: Annotated[
        list[Path] | None,
        typer.Option(help="A Python file with things of one's own; repeatable."),
    ] = None,
    attached: Annotated[int | None, typer.Option(hidden=True)] = None,
    forget: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Run the receiver.

    Options that are not given come from the environment: WEIGHTCAST_SERVER_DATA,
    WEIGHTCAST_SERVER_PORT and so on.
    """
    from weightcast.setup import KINDS
    from weightcast_server.working.worker_process import start_worker
    from weightcast_web.running.lock import take
    from weightcast_web.running.sockets import listen
    from weightcast_web.telemetry import logs

    given = {
        "data": data,
        "cache": cache,
        "host": host,
        "port": port,
        "evaluate": evaluate,
        "plugins": plugin or None,
    }
    given |= {"database": ""} if forget else {}
    settings = Settings(**{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]
    logs.begin("receiver", settings, attached=attached is not None)
    settings.load_plugins(KINDS)
    listener = listen(settings, attached)
    lock = take(settings.data, "receiver", shared=bool(settings.database.get_secret_value()))
    try:
        # The worker loads torch meanwhile.
        worker = start_worker(settings)
        with without_collection():
            from weightcast_server.app import create_app
            from weightcast_web.running.run import serve

        app = create_app(settings, worker=worker)
        serve(app, listener, settings, attached=attached is not None)
    finally:
        lock.close()
        if forget:
            shutil.rmtree(settings.data, ignore_errors=True)


def main() -> None:
    """Entry point."""
    run_command(app)


if __name__ == "__main__":
    main()
