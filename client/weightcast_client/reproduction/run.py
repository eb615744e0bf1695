"""The runs of a reproduction, and the page made of their results."""

from pathlib import Path

from weightcast.experiment.curves import curves
from weightcast.experiment.results import Results
from weightcast.experiment.runs import Run
from weightcast.experiment.sweeps import Sweep
from weightcast.models import zoo
from weightcast.models.weights import open_model
from weightcast_client.reproduction import figures
from weightcast_client.reproduction.page import page
from weightcast_client.reproduction.paper import STDS, TABLES, Table

BETWEEN: dict[str, tuple[float, ...]] = {
    "unprotected": (0.02, 0.03),
    "sign-protection": (0.02, 0.03, 0.07),
    "adaptive-mapping": (0.2, 0.3),
    "adaptive-redundancy": (0.3, 0.7),
}
"""Stds between the paper's, to see where the cliff of each scheme is."""


def all_runs(*, quick: bool) -> list[Run]:
    """Return the runs of all tables."""
    return [
        run
        for table in TABLES
        for scheme in table.rows
        for run in _sweep(table, scheme, quick=quick).runs()
    ]


def _sweep(table: Table, scheme: str, *, quick: bool) -> Sweep:
    return Sweep(
        model=table.model,
        draws=3 if quick else 10 if table is TABLES[0] else 5,
        n_samples=2_000 if quick else 10_000,
        schemes={scheme: {}},
        channels={"awgn": {"std": sorted({*STDS, *BETWEEN[scheme]})}},
    )


def write_page(results: Results, runs: list[Run], out: Path, *, quick: bool) -> Path:
    """Write page and figures from results, and return the page."""
    found = curves(results[run] for run in runs)
    first = TABLES[0]
    with open_model(zoo.find(first.model)) as model:
        figures.histogram(model, out / "figure-1.svg")
    n_images, draws = runs[0].setup.n_samples, found[first.model, "unprotected"][STDS[0]].n_draws
    figures.accuracy_by_std(
        {scheme: found[first.model, scheme] for scheme in first.rows},
        first,
        f"{first.model}, {draws} draws, {n_images:,} images, 95 % intervals",
        out / "figure-2.svg",
    )
    facts = {
        "command": f"client reproduce{' --quick' if quick else ''}",
        "results": f"{out.name}/results.jsonl",
        "n_runs": len(runs),
        "n_images": n_images,
    }
    path = out.with_suffix(".md")
    captions = {
        "Figure 2: accuracy against the std of the noise": f"{out.name}/figure-2.svg",
        "Figure 1: histogram of the weights": f"{out.name}/figure-1.svg",
    }
    path.write_text(page(found, facts, captions))
    return path
