"""Screen of a training: bars, and a line after each epoch, on standard error."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingScreen:
    """A bar for the training and one for its present epoch, with loss and accuracy.

    Args:
        costs: time of each epoch of the training, in any unit, to tell how much is left.
        n_done: epochs done before.
    """

    def __init__(self, costs: Sequence[float], n_done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True, highlight=False),
        )
        self._costs, self._n_done, self._n_before = costs, n_done, n_done
        self._seconds = 0.0
        self._whole = self._progress.add_task("training", total=sum(costs[n_done:]), figures="")
        self._epoch = self._progress.add_task("epoch", total=None, figures="")

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave them as they are."""
        self._progress.stop()

    def start(self, epoch: int) -> None:
        """Begin the bar of an epoch: 1, 2, ..."""
        self._progress.reset(self._epoch, description=f"epoch {epoch}/{len(self._costs)}")

    def report(self, done: int, total: int, loss: float, accuracy: float) -> None:
        """Set the bars after a step.

        Args:
            done: steps of this epoch so far.
            total: steps of this epoch.
            loss: mean so far, in nat.
            accuracy: mean so far, in %.
        """
        figures = f"loss {loss:.4f}, accuracy {accuracy:.2f} %"
        self._progress.update(self._epoch, completed=done, total=total, figures=figures)
        cost = self._cost_so_far() + done / total * self._costs[self._n_done]
        self._progress.update(self._whole, completed=cost)

    def end(self, row: dict[str, Any]) -> None:
        """Print the line of an epoch, for logs too."""
        self._n_done = row["epoch"]
        self._seconds += row["seconds"]
        left_min = self._seconds / self._cost_so_far() * sum(self._costs[self._n_done :]) / 60
        text = f"epoch {row['epoch']}/{len(self._costs)}: loss {row['loss']:.4f}"
        text += f", accuracy {row['accuracy']:.2f} %"
        if "validation_accuracy" in row:
            text += f", validation accuracy {row['validation_accuracy']:.2f} %"
        text += f", {row['seconds']:.0f} s, {left_min:.0f} min left"
        self._progress.console.print(text, soft_wrap=True)

    def _cost_so_far(self) -> float:
        """Return the cost of the epochs done since the start of this process."""
        return sum(self._costs[self._n_before : self._n_done])
