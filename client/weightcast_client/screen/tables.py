"""Tables: rows of results as Markdown, a row per point of the grid, draws taken together."""

import dataclasses
import json
import math
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from weightcast.decoding import DEFAULT_DECODER
from weightcast.errors import FormatError
from weightcast.experiment.curves import cliff, curves, point
from weightcast.experiment.results import Row
from weightcast.models.naming import printable
from weightcast.registry import spec_of
from weightcast.setup import Setup


def table(rows: list[Row]) -> str:
    """Return a Markdown table of the rows of a sweep, in their order, draws taken together."""
    is_scored = _is_scored(rows)
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
            _samples(draws[0]) if is_scored else "",
            str(len(draws)),
            *(_accuracy(draws) if is_scored else _error(draws)),
            f"{figures['uses_per_weight']:.4f}",
            f"{figures['all_in_uses_per_weight']:.4f}",
        ]
        lines.append(_line(cells))
    return "".join(f"{line}\n" for line in lines)


def cliff_table(rows: list[Row], chance: float) -> str:
    """Return a Markdown table of the cliffs: half of the way from clean to chance, over std.

    Raises:
        FormatError: a row has no accuracy.
    """
    if not _is_scored(rows):
        raise FormatError("not all rows have accuracies, which --cliffs needs")
    lines = ["| model | scheme | channel | noisy | cliff, std |", f"|{' --- |' * 5}"]
    shown = _shown(rows)
    shown["std"] = False
    for group in _grouped(rows, stds_apart=False):
        run, figures = group[0]
        (curve,) = curves(group).values()
        clean, stds = figures["clean_accuracy"], list(curve)
        found = cliff(stds, [one.mean for one in curve.values()], clean, chance)
        cells = [
            run.model,
            _coding(run.setup, shown),
            _call(run.setup.channel, shown),
            f"`{run.noisy}`",
            f"not in {stds[0]:g} .. {stds[-1]:g}" if math.isnan(found) else f"{found:.3g}",
        ]
        lines.append(_line(cells))
    return "".join(f"{line}\n" for line in lines)


def _line(cells: list[str]) -> str:
    # What stands in a file must neither end a cell nor reach the terminal as a command.
    plain = [printable(cell).replace("|", "\\|") for cell in cells]
    return f"| {' | '.join(plain)} |"


def _is_scored(rows: list[Row]) -> bool:
    return all(row.figures.get("accuracy") is not None for row in rows)


def _samples(row: Row) -> str:
    n = row.run.setup.n_samples or row.figures.get("n_images")
    return f"{n:,} {row.run.setup.split}" if isinstance(n, int) else row.run.setup.split


def _accuracy(draws: list[Row]) -> list[str]:
    found = point(draws)
    return [str(found), f"{found.clean:.2f}"]


def _error(draws: list[Row]) -> list[str]:
    mse = fmean(row.figures["weight_mse"] for row in draws)
    sdrs = [sdr for row in draws if (sdr := row.figures.get("sdr_db")) is not None]
    return [f"{mse:.4g}", f"{fmean(sdrs):.2f}" if len(sdrs) == len(draws) else "exact"]


def _grouped(rows: list[Row], *, stds_apart: bool = True) -> list[list[Row]]:
    """Return the rows of each point of the grid, or of each of its curves over std."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        place = row.run.row()
        place["setup"] = {**place["setup"], "draw": 0, "channel": {**place["setup"]["channel"]}}
        if not stds_apart:
            place["setup"]["channel"].pop("std", None)
        groups.setdefault(json.dumps(place), []).append(row)
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
