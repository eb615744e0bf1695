"""The command `client reproduce`: the paper's tables and figures, with ours beside them."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast_client.options import with_home


def reproduce(
    quick: Annotated[
        bool, typer.Option("--quick", help="2,000 test images and 3 draws of the noise.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder; by default reproduction or reproduction-quick.", callback=with_home
        ),
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="Runs at once.")] = 1,
) -> None:
    """Reproduce the paper: tables 1 to 5 and figures 1 and 2, on the models that are shipped.

    Writes FOLDER/results.jsonl, the figures, and the page FOLDER.md that shows them beside the
    paper's values. Stop it as you like: the same command goes on where it was.

    Examples:

      client reproduce --quick
    """
    from weightcast.experiment.results import Results
    from weightcast_client.reproduction.run import all_runs, write_page
    from weightcast_client.screen.console import Screen
    from weightcast_client.sweeping import fill

    out = out or Path("reproduction-quick" if quick else "reproduction")
    runs = all_runs(quick=quick)
    out.mkdir(parents=True, exist_ok=True)
    results = Results(out / "results.jsonl")
    with Screen() as screen:
        fill(results, runs, screen, processes=processes)
    page = write_page(results, runs, out, quick=quick)
    typer.echo(f"the page is {page}", err=True)
