"""The command `client sweep`: all runs of a file that have not been done yet."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast_client.options import PluginFiles, load_plugins, with_home


def sweep(
    file: Annotated[
        Path, typer.Argument(help="A sweep as TOML; see docs/sweeps.md.", callback=with_home)
    ],
    results: Annotated[
        Path | None,
        typer.Option(help="Where the lines go; by default FILE with .jsonl.", callback=with_home),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Runs at once; each takes its share of the cores.")
    ] = 1,
    over_http: Annotated[
        bool, typer.Option(help="Through a receiver and a link of its own, one run at a time.")
    ] = False,
    plugin: PluginFiles = None,
) -> None:
    """Do all runs of a sweep that are not in its results yet; one line of JSON each.

    Stop it as you like: the same command goes on where it was.

    Examples:

      client sweep experiments/quick.toml --processes 2
    """
    from weightcast.experiment.results import Results
    from weightcast.experiment.sweeps import read_sweep
    from weightcast_client.screen.console import Screen
    from weightcast_client.sweeping import fill

    load_plugins(plugin)
    runs = read_sweep(file).runs()
    found = Results(results or file.with_suffix(".jsonl"))
    with Screen() as screen:
        fill(found, runs, screen, processes=processes, over_http=over_http)
    typer.echo(f"{len(runs)} runs are in {found.path}", err=True)
