"""Console: progress bars on standard error, tables on standard output."""

from collections.abc import Callable, Sequence
from threading import Event, Thread
from types import TracebackType
from typing import Self

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
from weightcast.experiment.figures import SendResult
from weightcast.measure.intervals import mean_and_interval
from weightcast.models.naming import printable

LARGE_HEADER = 0.5
"""Share of the all-in uses from which on the result says that they are the header's."""
FETCHING = ("download", "npm pack", "another download", "torchvision")
"""How the names of phases begin that may take minutes on a slow line."""
REMIND_EVERY_S = 15.0


class Screen:
    """Progress bars by name, on a terminal; a bar appears when it is first reported.

    Where there is no terminal a line says now and then that a download goes on.
    """

    def __init__(self) -> None:
        self._console = console = Console(stderr=True)
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
        self._now = ("", 0, 0)
        self._is_over = Event()

    def __enter__(self) -> Self:
        """Show the bars."""
        self._progress.start()
        if not self._console.is_terminal:
            Thread(target=self._remind, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave them as they are."""
        self._is_over.set()
        self._progress.stop()

    def say(self, line: str) -> None:
        """Print a line on standard error, above the bars."""
        self._console.print(escape(printable(line)), highlight=False, soft_wrap=True)

    def _remind(self) -> None:
        while not self._is_over.wait(REMIND_EVERY_S):
            name, done, total = self._now
            if name.startswith(FETCHING):
                of_all = f" of {total:,}" if total else ""
                self.say(f"{name} goes on" + (f", {done:,}{of_all} bytes so far" if done else ""))

    def report(self, name: str, done: int, total: int) -> None:
        """Set a bar; total 0 is not known."""
        self._now = (name, done, total)
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total or None)
        self._progress.update(self._bars[name], completed=done, total=total or None)

    def bar(self, name: str) -> Callable[[int, int], None]:
        """Return a function of (done, total) for one bar."""
        return lambda done, total: self.report(name, done, total)


def show_result(result: SendResult) -> None:
    """Print the result of a send; of several draws every line says what it is of them."""
    n = result["n_weights"]
    over = result.get("over_draws", {})
    mean, total = (" (mean)", " (sum)") if over else ("", "")
    console = Console(highlight=False)
    title = printable(f"{result['model']} by {result['scheme']} over {result['channel']}")
    if result["decoder"] != DEFAULT_DECODER:
        title += f", decoded by {result['decoder']}"
    table = Table(title=escape(title), min_width=len(title), show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    std = result["std"]
    table.add_row("noise std", "none" if std is None else f"{std:g}")
    if result["peak_snr_db"] is not None:
        table.add_row("peak SNR", f"{result['peak_snr_db']:.2f} dB")
    if over:
        table.add_row("draws of the noise", f"{result['draws']:,}")
    if result["accuracy"] is not None:
        table.add_row(f"accuracy{mean}", _accuracy(result))
        table.add_row("clean accuracy", f"{result['clean_accuracy']:.2f} %")
        table.add_row("test images", f"{result['n_images']:,}")
    table.add_section()
    table.add_row("weights", f"{n:,}")
    table.add_row("symbols", f"{result['n_symbols']:,}")
    table.add_row("uses per weight", f"{result['uses_per_weight']:.5f}")
    for kind, uses in result["extra_uses"].items():
        table.add_row(f"  + {kind} ({result['bits'][kind]:,} bits)", f"{uses:.5f}")
    table.add_row("all-in uses per weight", f"{result['all_in_uses_per_weight']:.5f}")
    share = result["extra_uses"]["header"] / result["all_in_uses_per_weight"]
    if share > LARGE_HEADER:
        table.add_row("  mostly header: a small model", f"{100 * share:.0f} %")
    capacity = result["capacity"]
    table.add_row("capacity", "unlimited" if capacity is None else f"{capacity:.3f} bit per use")
    table.add_section()
    table.add_row("average power", f"{result['average_power']:.4f}")
    table.add_row("peak", f"{result['peak']:.4f}")
    mses, sdrs = result.get("weight_mses", []), result.get("sdrs_db", [])
    table.add_row(f"weight MSE{mean}", f"{result['weight_mse']:.4g}{_spread(mses, '.2g')}")
    sdr = result["sdr_db"]
    n_exact = sdrs.count(None)
    text = "exact" if n_exact == len(sdrs) else f"exact in {n_exact:,} of them"
    if sdr is not None:
        text = f"{sdr:.2f}{_spread(sdrs, '.2f')} dB"
    table.add_row(f"SDR{mean}", text)
    table.add_section()
    for name, seconds in result["seconds"].items():
        table.add_row(f"{name}, s{total}", f"{seconds:.2f}")
    console.print(table)


def _spread(values: Sequence[float | None], form: str) -> str:
    """Return half of the 95 % interval of a mean, if there is one."""
    known = [value for value in values if value is not None]
    if len(known) < 2 or len(known) < len(values):
        return ""
    mean, _, high = mean_and_interval(known)
    return f" ± {high - mean:{form}}"


def _accuracy(result: SendResult) -> str:
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
