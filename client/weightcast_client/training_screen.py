"""What people see of a training: bars, and a line after each epoch, on standard error."""

from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class TrainingScreen:
    """A bar for the training and one for its present epoch, with loss and accuracy.

    Args:
        n_epochs: of the training.
        n_done: epochs done before.
    """

    def __init__(self, n_epochs: int, n_done: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True, highlight=False),
        )
        self._n_epochs, self._rows = n_epochs, list[dict[str, Any]]()
        self._whole = self._progress.add_task("training", total=n_epochs - n_done, figures="")
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
        self._progress.reset(self._epoch, description=f"epoch {epoch}/{self._n_epochs}")

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
        self._progress.update(self._whole, completed=len(self._rows) + done / total)

    def end(self, row: dict[str, Any]) -> None:
        """Print the line of an epoch, for logs too."""
        self._rows.append(row)
        mean_s = sum(r["seconds"] for r in self._rows) / len(self._rows)
        left_min = mean_s * (self._n_epochs - row["epoch"]) / 60
        text = f"epoch {row['epoch']}/{self._n_epochs}: loss {row['loss']:.4f}"
        text += f", accuracy {row['accuracy']:.2f} %"
        if "validation_accuracy" in row:
            text += f", validation accuracy {row['validation_accuracy']:.2f} %"
        text += f", {row['seconds']:.0f} s, {left_min:.0f} min left"
        self._progress.console.print(text, soft_wrap=True)
