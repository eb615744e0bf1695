"""The command `client summary`: results of a sweep as a table, one row per point of the grid."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer


def summary(
    file: Annotated[Path, typer.Argument(help="Results of a sweep, JSON lines.")],
) -> None:
    """Print the mean accuracy and its 95 % interval of every point of a sweep, as Markdown.

    Examples:

      client summary experiments/thresholds.jsonl
    """
    from weightcast.errors import FormatError
    from weightcast.sweeps import Results

    if not file.exists():
        raise FormatError(f"there are no results '{file}'")
    typer.echo(table(Results(file).rows()), nl=False)


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of the rows of a sweep, in their order, draws taken together."""
    from weightcast_client.reproduction.summary import point

    points: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        names = ("model", "scheme", "params", "channel", "channel_params", "split", "n_images")
        grid = [*(row[name] for name in names), _noisy(row)]
        points.setdefault(json.dumps(grid), []).append(row)
    lines = [
        "| model | scheme | channel | noisy | images | draws | accuracy, % | clean, % |"
        " uses per weight | all-in |",
        f"|{' --- |' * 10}",
    ]
    for draws in points.values():
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


def _noisy(row: dict[str, Any]) -> str:
    return str(row.get("noisy", "*"))


def _call(name: str, params: dict[str, Any]) -> str:
    return " ".join([f"`{name}`", *(f"{key}={value:g}" for key, value in params.items())])
