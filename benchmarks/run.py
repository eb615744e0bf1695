"""Measure the speed of everything, print a table, write `results/*.json`.

Usage: python benchmarks/run.py [kernels] [path] [evaluation] [training] [warm]
"""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import evaluation
import kernels
import path
import training
import warm
from measure import Row, machine
from rich.console import Console
from rich.table import Table

from weightcast.errors import WeightcastError

SECTIONS = {
    "kernels": kernels.measure,
    "path": path.measure,
    "evaluation": evaluation.measure,
    "training": training.measure,
    "warm": warm.measure,
}
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    chosen = sys.argv[1:] or list(SECTIONS)
    unknown = sorted(set(chosen) - set(SECTIONS))
    if unknown:
        sys.exit(f"error: no section '{unknown[0]}'; known: {', '.join(SECTIONS)}")
    facts = machine()
    rows, failed = {}, False
    for name in chosen:
        try:
            rows[name] = SECTIONS[name]()
        except (WeightcastError, subprocess.CalledProcessError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            failed = True
    _show(facts, rows)
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    sections = {name: [row.to_json() for row in found] for name, found in rows.items()}
    text = json.dumps({"when": now, "machine": facts, "sections": sections}, indent=1)
    (RESULTS / f"{now}.json").write_text(text + "\n")
    sys.exit(failed)


def _show(facts: dict[str, object], rows: dict[str, list[Row]]) -> None:
    table = Table(title=f"{facts['cpu']}, {facts['cores']} cores", title_justify="left")
    for heading in ("what", "figure", "unit", "yardstick", "met", "ms", "note"):
        table.add_column(heading, justify="right" if heading in ("figure", "ms") else "left")
    for found in rows.values():
        table.add_section()
        for row in found:
            table.add_row(
                row.what,
                f"{row.value:.3g}" if row.value < 100 else f"{row.value:.0f}",
                row.unit,
                row.yardstick,
                {True: "yes", False: "NO", None: ""}[row.is_met],
                "" if row.seconds is None else f"{1e3 * row.seconds:.1f}",
                row.note,
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
