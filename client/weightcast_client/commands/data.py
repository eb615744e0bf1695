"""The command `client data`."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast.registry import build
from weightcast.tasks import DEFAULT_TASK, TASKS
from weightcast_client.options import PluginFiles, load_plugins, pairs, with_home
from weightcast_client.settings import Settings


def data(
    task: Annotated[str, typer.Argument(help="See `client tasks`.")] = DEFAULT_TASK,
    task_set: Annotated[
        list[str] | None, typer.Option(help="A param of the task, key=value; repeatable.")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--from", help="Take the data from this archive.", callback=with_home),
    ] = None,
    plugin: PluginFiles = None,
) -> None:
    """Fetch the data of a task into the cache, unless they are there, and verify them.

    Examples:

      client data

      client data mnist

      client data --from cifar-10-binary.tar.gz
    """
    from weightcast_client.screen.console import Screen

    load_plugins(plugin)
    chosen = build(TASKS, {"name": task} | pairs(task_set), from_text=True)
    cache = Settings().cache
    with Screen() as screen:
        source = chosen.fetch(cache, screen.report, archive)
    typer.echo(f"the data of {task} are in {cache} and verified (source: {source})", err=True)
