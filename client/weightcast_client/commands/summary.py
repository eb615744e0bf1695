"""The command `client summary`: results of a sweep as a table, one row per point of the grid."""

from pathlib import Path
from typing import Annotated

import typer

from weightcast_client.options import PluginFiles, load_plugins


def summary(
    file: Annotated[
        Path, typer.Argument(help="Results of a sweep, or what `client send --json` printed.")
    ],
    cliffs: Annotated[
        bool, typer.Option(help="Also the std at which half of the accuracy is gone.")
    ] = False,
    chance: Annotated[
        float, typer.Option(min=0, help="Accuracy of a guess in %, from which --cliffs counts.")
    ] = 10.0,
    plugin: PluginFiles = None,
) -> None:
    """Print the mean accuracy and its 95 % interval of every point of a sweep, as Markdown.

    Sends are shown likewise, a JSON object per line or a single one. The file is only read.

    Examples:

      client summary experiments/thresholds.jsonl

      client summary experiments/equalised.jsonl --cliffs
    """
    from weightcast.experiment.reading import read_rows
    from weightcast_client.screen.tables import cliff_table, table

    load_plugins(plugin)
    rows, torn = read_rows(file)
    if torn is not None:
        typer.echo(f"warning: line {torn} is cut off and left out", err=True)
    text = table(rows)
    if cliffs:
        text += f"\n{cliff_table(rows, chance)}"
    typer.echo(text, nl=False)
