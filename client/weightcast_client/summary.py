"""The command `client summary`: results of a sweep as a table, one row per point of the grid."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer


def summary(
    file: Annotated[Path, typer.Argument(help="Results of a sweep, JSON lines.")],
    cliffs: Annotated[
        bool, typer.Option(help="Also the std at which half of the accuracy is gone.")
    ] = False,
) -> None:
    """Print the mean accuracy and its 95 % interval of every point of a sweep, as Markdown.

    Examples:

      client summary experiments/thresholds.jsonl

      client summary experiments/equalised.jsonl --cliffs
    """
    from weightcast.errors import FormatError
    from weightcast.sweeps import Results

    if not file.exists():
        raise FormatError(f"there are no results '{file}'")
    rows = Results(file).rows()
    typer.echo(table(rows), nl=False)
    if cliffs:
        typer.echo("\n" + cliff_table(rows), nl=False)


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the rows of a sweep, in their order, draws taken together."""
    from weightcast_client.reproduction.summary import point

    lines = [
        "| model | scheme | channel | noisy | images | draws | accuracy, % | clean, % |"
        " uses per weight | all-in |",
        f"|{' --- |' * 10}",
    ]
    for draws in _grouped(rows):
        first, found = draws[0], point(draws)
        cells = [
            first["model"],
            _call(first["scheme"], first["params"]),
            _call(first["channel"], first["channel_params"]),
            f"`{_noisy(first)}`",
            f"{first['n_images']:,} {first['split']}",
            str(len(draws)),
            str(found),
            f"{found.clean:.2f}",
            f"{found.uses:.4f}",
            f"{found.all_in:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def cliff_table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the cliffs: half of the way from clean to chance, over std."""
    from weightcast_client.reproduction.summary import cliff, curves

    lines = ["| model | scheme | channel | noisy | cliff, std |", f"|{' --- |' * 5}"]
    for group in _grouped(rows, stds_apart=False):
        first = group[0]
        (curve,) = curves(group).values()
        clean, stds = first["clean_accuracy"], list(curve)
        found = cliff(stds, [point.mean for point in curve.values()], clean)
        rest = {name: v for name, v in first["channel_params"].items() if name != "std"}
        cells = [
            first["model"],
            _call(first["scheme"], first["params"]),
            _call(first["channel"], rest),
            f"`{_noisy(first)}`",
            f"not in {stds[0]:g} .. {stds[-1]:g}" if math.isnan(found) else f"{found:.3g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def _grouped(rows: list[dict[str, Any]], *, stds_apart: bool = True) -> list[list[dict[str, Any]]]:
    """Return the rows of each point of the grid, or of each of its curves over std."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        names = ("model", "scheme", "params", "channel", "split", "n_images")
        channel = dict(row["channel_params"])
        if not stds_apart:
            channel.pop("std", None)
        key = json.dumps([*(row[name] for name in names), channel, _noisy(row)])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _noisy(row: dict[str, Any]) -> str:
    return str(row.get("noisy", "*"))


def _call(name: str, params: dict[str, Any]) -> str:
    return " ".join([f"`{name}`", *(f"{key}={value:g}" for key, value in params.items())])
