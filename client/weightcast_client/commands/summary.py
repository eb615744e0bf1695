"""The command `client summary`: results of a sweep as a table, one row per point of the grid."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from weightcast.decoding import DEFAULT_DECODER
from weightcast.experiment.results import Row
from weightcast.registry import spec_of
from weightcast.setup import Setup
from weightcast_client.options import PluginFiles, load_plugins


def summary(
    file: Annotated[Path, typer.Argument(help="Results of a sweep, JSON lines.")],
    cliffs: Annotated[
        bool, typer.Option(help="Also the std at which half of the accuracy is gone.")
    ] = False,
    plugin: PluginFiles = None,
) -> None:
    """Print the mean accuracy and its 95 % interval of every point of a sweep, as Markdown.

    Examples:

      client summary experiments/thresholds.jsonl

      client summary experiments/equalised.jsonl --cliffs
    """
    from weightcast.errors import FormatError
    from weightcast.experiment.results import Results

    load_plugins(plugin)
    if not file.exists():
        raise FormatError(f"there are no results '{file}'")
    rows = Results(file).rows()
    typer.echo(table(rows), nl=False)
    if cliffs:
        typer.echo("\n" + cliff_table(rows), nl=False)


def table(rows: list[Row]) -> str:
    """Return a Markdown table of the rows of a sweep, in their order, draws taken together."""
    is_scored = all("accuracy" in row.figures for row in rows)
    lines = [
        "| model | scheme | channel | noisy | images | draws |"
        + (" accuracy, % | clean, % |" if is_scored else " weight MSE | SDR, dB |")
        + " uses per weight | all-in |",
        f"|{' --- |' * 10}",
    ]
    shown = _shown(rows)
    for draws in _grouped(rows):
        run, figures = draws[0]
        cells = [
            run.model,
            _coding(run.setup, shown),
            _call(run.setup.channel, shown),
            f"`{run.noisy}`",
            f"{run.setup.n_samples:,} {run.setup.split}" if is_scored else "",
            str(len(draws)),
            *(_accuracy(draws) if is_scored else _error(draws)),
            f"{figures['uses_per_weight']:.4f}",
            f"{figures['all_in_uses_per_weight']:.4f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def cliff_table(rows: list[Row]) -> str:
    """Return a Markdown table of the cliffs: half of the way from clean to chance, over std."""
    from weightcast_client.reproduction.summary import cliff, curves

    lines = ["| model | scheme | channel | noisy | cliff, std |", f"|{' --- |' * 5}"]
    shown = _shown(rows)
    shown["std"] = False
    for group in _grouped(rows, stds_apart=False):
        run, figures = group[0]
        (curve,) = curves(group).values()
        clean, stds = figures["clean_accuracy"], list(curve)
        found = cliff(stds, [point.mean for point in curve.values()], clean)
        cells = [
            run.model,
            _coding(run.setup, shown),
            _call(run.setup.channel, shown),
            f"`{run.noisy}`",
            f"not in {stds[0]:g} .. {stds[-1]:g}" if math.isnan(found) else f"{found:.3g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "".join(f"{line}\n" for line in lines)


def _accuracy(draws: list[Row]) -> list[str]:
    from weightcast_client.reproduction.summary import point

    found = point(draws)
    return [str(found), f"{found.clean:.2f}"]


def _error(draws: list[Row]) -> list[str]:
    mse = fmean(row.figures["weight_mse"] for row in draws)
    sdrs = [row.figures["sdr_db"] for row in draws]
    return [f"{mse:.4g}", "exact" if None in sdrs else f"{fmean(sdrs):.2f}"]


def _grouped(rows: list[Row], *, stds_apart: bool = True) -> list[list[Row]]:
    """Return the rows of each point of the grid, or of each of its curves over std."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        point = row.run.row()
        point["setup"] = {**point["setup"], "draw": 0, "channel": {**point["setup"]["channel"]}}
        if not stds_apart:
            point["setup"]["channel"].pop("std", None)
        groups.setdefault(json.dumps(point), []).append(row)
    return list(groups.values())


def _shown(rows: list[Row]) -> dict[str, bool]:
    """Return for each param whether it is shown: if it is not the default, or varies."""
    values: dict[tuple[str, str], set[str]] = {}
    shown: dict[str, bool] = {}
    for setup in (row.run.setup for row in rows):
        for thing in (setup.scheme, setup.decoder, setup.channel):
            for field in dataclasses.fields(thing):  # type: ignore[arg-type]
                value = getattr(thing, field.name)
                seen = values.setdefault((thing.name, field.name), set())
                seen.add(repr(value))
                shown[field.name] = (
                    shown.get(field.name, False) or value != field.default or len(seen) > 1
                )
    return shown


def _coding(setup: Setup, shown: Mapping[str, bool]) -> str:
    scheme = _call(setup.scheme, shown)
    if setup.decoder.name == DEFAULT_DECODER:
        return scheme
    return f"{scheme} and {_call(setup.decoder, shown)}"


def _call(thing: Any, shown: Mapping[str, bool]) -> str:
    spec = spec_of(thing)
    params = [f"{key}={_value(v)}" for key, v in spec.items() if shown.get(key, False)]
    return " ".join([f"`{spec['name']}`", *params])


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else json.dumps(value)
