"""Figures 1 and 2 of the paper, from a model file and from results."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from weightcast.arrays import blocks
from weightcast.channels.noiseless import Noiseless
from weightcast.coding.paper.adaptive_mapping import AdaptiveMapping
from weightcast.experiment.curves import Curve
from weightcast.models.weights import Model
from weightcast_client.reproduction.paper import STDS, Table

COLOURS = ("#D55E00", "#E69F00", "#0072B2", "#009E73")
"""Distinct for colour-blind readers: Okabe & Ito, *Color Universal Design*, 2008."""
MARKERS = ("v", "s", "D", "o")


def histogram(model: Model, path: Path) -> None:
    """Draw figure 1: how many weights have which value, and where the large class begins."""
    plan = AdaptiveMapping().plan(model, model.layout.weights, Noiseless())
    edges = np.linspace(-plan.high, plan.high, 201)
    counts = np.zeros(200, np.int64)
    for _, block in blocks(model):
        counts += np.histogram(block, edges)[0]
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.stairs(counts, edges, fill=True, color=COLOURS[2])
    for side in (-1, 1):
        axes.axvline(side * plan.threshold, color=COLOURS[0], linestyle="--", linewidth=1)
    n_small = plan.n_weights - plan.n_large
    axes.set(
        yscale="log",
        xlabel="weight",
        ylabel="weights per bin",
        title=f"{n_small:,} small, {plan.n_large:,} large weights; dashed: ±{plan.threshold:.3f}",
    )
    _save(figure, path)


def accuracy_by_std(curves: Mapping[str, Curve], table: Table, title: str, path: Path) -> None:
    """Draw figure 2: accuracy against std, with 95 % intervals and the paper's values.

    Args:
        curves: by scheme.
        table: of the paper, for the same schemes.
        title: of the figure.
        path: of the SVG file.
    """
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    looks = zip(table.rows, COLOURS, MARKERS, strict=False)
    for scheme, colour, marker in looks:
        curve = curves[scheme]
        points = list(curve.values())
        axes.errorbar(
            list(curve),
            [point.mean for point in points],
            yerr=np.nan_to_num([point.half_width for point in points]),
            color=colour,
            marker=marker,
            markersize=4,
            capsize=2,
            label=scheme,
        )
        axes.plot(STDS, table.rows[scheme], marker, color=colour, markerfacecolor="none", alpha=0.7)
    axes.plot([], [], "o", color="black", markerfacecolor="none", label="paper")
    clean = next(iter(next(iter(curves.values())).values())).clean
    axes.axhline(clean, color="grey", linewidth=0.8, label=f"clean, {clean:.2f} %")
    axes.set(xscale="log", xlabel="noise std per symbol", ylabel="test accuracy, %", title=title)
    axes.set_ylim(0, 100)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize="small")
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with rc_context({"svg.hashsalt": "weightcast"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
