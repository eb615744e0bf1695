"""Curves: rows of results as means with intervals over std, and their cliffs."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from weightcast.channels import Channel
from weightcast.experiment.results import Row
from weightcast.measure.intervals import mean_and_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Point of a curve: all draws of one scheme at one std.

    Args:
        accuracies: in %, one per draw.
        clean: accuracy of the model before it is sent, in %.
        all_in: all-in uses per weight.
        uses: uses per weight as the paper counts.
    """

    accuracies: tuple[float, ...]
    clean: float
    all_in: float
    uses: float

    @property
    def n_draws(self) -> int:
        """Draws of the noise."""
        return len(self.accuracies)

    @property
    def mean(self) -> float:
        """Mean accuracy in %."""
        return mean_and_interval(self.accuracies)[0]

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the mean; nan for one draw."""
        mean, _, high = mean_and_interval(self.accuracies)
        return high - mean

    def __str__(self) -> str:
        """Return mean and interval in %."""
        spread = "" if math.isnan(self.half_width) else f" ± {self.half_width:.2f}"
        return f"{self.mean:.2f}{spread}"


Curve = Mapping[float, Point]
"""Points by std."""


def curves(rows: Iterable[Row]) -> dict[tuple[str, str], Curve]:
    """Return the curve of each (model, scheme), stds rising."""
    draws: dict[tuple[str, str], dict[float, list[Row]]] = {}
    for row in rows:
        curve = draws.setdefault((row.run.model, row.run.setup.scheme.name), {})
        curve.setdefault(std_of(row.run.setup.channel), []).append(row)
    return {
        name: {std: point(curve[std]) for std in sorted(curve)} for name, curve in draws.items()
    }


def std_of(channel: Channel) -> float:
    """Return the std of a channel's noise; nan for one that has no std."""
    return float(getattr(channel, "std", math.nan))


def point(rows: Sequence[Row]) -> Point:
    """Return the point of which these are the draws; they have accuracies."""
    first = rows[0].figures
    return Point(
        accuracies=tuple(row.figures["accuracy"] for row in rows),
        clean=first["clean_accuracy"],
        all_in=first["all_in_uses_per_weight"],
        uses=first["uses_per_weight"],
    )


def cliff(stds: Sequence[float], accuracies: Sequence[float], clean: float, chance: float) -> float:
    """Return the std at which the accuracy is half of the way from clean to chance.

    Args:
        stds: rising.
        accuracies: in %, one per std.
        clean: in %.
        chance: accuracy of a guess, in %.

    Returns:
        Interpolated in a line over log std between the two stds around the first fall below half;
        nan if there is none, or if it is between 0 and the first std.

    >>> round(cliff([0.01, 0.1], [95.0, 5.0], 90.0, chance=10.0), 4)
    0.0316
    """
    half = (clean + chance) / 2
    for i in range(1, len(stds)):
        before, after = accuracies[i - 1], accuracies[i]
        if before >= half > after and stds[i - 1] > 0:
            share = (before - half) / (before - after)
            return math.exp((1 - share) * math.log(stds[i - 1]) + share * math.log(stds[i]))
    return math.nan
