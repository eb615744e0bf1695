"""What people see: progress bars on standard error, tables on standard output."""

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from weightcast.decoding import DEFAULT_DECODER


class Screen:
    """Progress bars by name, on a terminal; a bar appears when it is first reported."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description:<16}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}

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

    def report(self, name: str, done: int, total: int) -> None:
        """Set a bar; total 0 is not known."""
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total or None)
        self._progress.update(self._bars[name], completed=done, total=total or None)

    def bar(self, name: str) -> Callable[[int, int], None]:
        """Return a function of (done, total) for one bar."""
        return lambda done, total: self.report(name, done, total)


def show_result(result: dict[str, Any]) -> None:
    """Print the result of a send."""
    n = result["n_weights"]
    console = Console(highlight=False)
    title = f"{result['model']} by {result['scheme']} over {result['channel']}"
    if result["decoder"] != DEFAULT_DECODER:
        title += f", decoded by {result['decoder']}"
    table = Table(title=escape(title), min_width=len(title))
    table.add_column("", style="bold")
    table.add_column("", justify="right")
    std = result["std"]
    table.add_row("noise std", "none" if std is None else f"{std:g}")
    if result["peak_snr_db"] is not None:
        table.add_row("peak SNR", f"{result['peak_snr_db']:.2f} dB")
    if result["accuracy"] is not None:
        many = f" ({len(result['accuracies'])} draws)" if "accuracies" in result else ""
        table.add_row(f"accuracy{many}", _accuracy(result))
        table.add_row("clean accuracy", f"{result['clean_accuracy']:.2f} %")
        table.add_row("test images", f"{result['n_images']:,}")
    table.add_section()
    table.add_row("weights", f"{n:,}")
    table.add_row("symbols", f"{result['n_symbols']:,}")
    table.add_row("uses per weight", f"{result['uses_per_weight']:.5f}")
    for kind, uses in result["extra_uses"].items():
        table.add_row(f"  + {kind} ({result['bits'][kind]:,} bits)", f"{uses:.5f}")
    table.add_row("all-in uses per weight", f"{result['all_in_uses_per_weight']:.5f}")
    capacity = result["capacity"]
    table.add_row("capacity", "unlimited" if capacity is None else f"{capacity:.3f} bit per use")
    table.add_section()
    table.add_row("average power", f"{result['average_power']:.4f}")
    table.add_row("peak", f"{result['peak']:.4f}")
    table.add_row("weight MSE", f"{result['weight_mse']:.4g}")
    sdr = result["sdr_db"]
    table.add_row("SDR", "exact" if sdr is None else f"{sdr:.2f} dB")
    table.add_section()
    for name, seconds in result["seconds"].items():
        table.add_row(f"{name}, s", f"{seconds:.2f}")
    console.print(table)


def _accuracy(result: dict[str, Any]) -> str:
    text = f"{result['accuracy']:.2f} %"
    if result.get("accuracy_low") is not None:
        text += f", 95 % interval {result['accuracy_low']:.2f} to {result['accuracy_high']:.2f}"
    return text


def show_table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a plain table."""
    table = Table()
    for i, column in enumerate(columns):
        table.add_column(column, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console(highlight=False).print(table)
