"""The figure of a training: loss and accuracy by epoch."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure


def draw(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Write the curves of a training as an SVG figure.

    Args:
        rows: one per epoch, as in `curves.jsonl`.
        title: of the figure.
        path: of the file.
    """
    epochs = [row["epoch"] for row in rows]
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(epochs, [row["loss"] for row in rows], label="training")
    left.set(xlabel="epoch", ylabel="cross-entropy, nat")
    right.plot(epochs, [row["accuracy"] for row in rows], label="training")
    if "validation_accuracy" in rows[0]:
        right.plot(epochs, [row["validation_accuracy"] for row in rows], label="validation")
    right.set(xlabel="epoch", ylabel="accuracy, %")
    right.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(title)
    with rc_context({"svg.hashsalt": "weightcast"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
