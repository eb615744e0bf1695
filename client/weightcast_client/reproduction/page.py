"""The page of a reproduction as Markdown, made from results alone."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from weightcast.experiment.curves import Curve, cliff
from weightcast_client.reproduction.paper import CHANCE, STDS, TABLES, Table

Curves = Mapping[tuple[str, str], Curve]

INTRODUCTION = """\
# Reproduction of the paper

Made by `{command}` from {n_runs} runs in `{results}`, which has the models, the seeds and the whole
ledger of each. Why ours differ from the paper's is in `docs/findings/paper.md`.

An accuracy is in % of {n_images:,} test images: the mean of the draws of the noise ± half of its
95 % interval (Student's t). The paper gives one value and no interval; it stands below ours.
"""


def page(curves: Curves, facts: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        curves: by model and scheme.
        facts: `command`, `results`, `n_runs`, `n_images`.
        figures: paths relative to the page, by caption.
    """
    sections = [INTRODUCTION.format(**facts)]
    sections += [f"![{caption}]({path})\n" for caption, path in figures.items()]
    sections += [_accuracies(table, curves) for table in TABLES]
    sections += [_drops(curves), _cliffs(curves), _ledgers(curves)]
    return "\n".join(sections)


def _accuracies(table: Table, curves: Curves) -> str:
    curve = curves[table.model, "unprotected"]
    title = (
        f"## Table {table.number}: `{table.model}`, {curve[STDS[0]].n_draws} draws, clean"
        f" {_clean(curve):.2f} (paper {table.clean:.2f})"
    )
    rows = []
    for scheme, paper in table.rows.items():
        curve = curves[table.model, scheme]
        rows.append([f"`{scheme}`", *(str(curve[std]) for std in STDS)])
        rows.append(["paper", *(f"{accuracy:.2f}" for accuracy in paper)])
    return f"{title}\n\n{_markdown(['std', *map(str, STDS)], rows)}"


def _drops(curves: Curves) -> str:
    rows = []
    for table in TABLES:
        for scheme in ("unprotected", "adaptive-redundancy"):
            curve, paper = curves[table.model, scheme], table.rows[scheme]
            ours = [f"{_clean(curve) - curve[std].mean:z.2f}" for std in STDS]
            theirs = [f"{table.clean - accuracy:.2f}" for accuracy in paper]
            rows += [[f"{table.setting}, `{scheme}`", *ours], ["paper", *theirs]]
    return "## Table 5: clean minus accuracy\n\n" + _markdown(["std", *map(str, STDS)], rows)


def _cliffs(curves: Curves) -> str:
    rows = []
    for table in TABLES:
        positions = []
        for scheme, paper in table.rows.items():
            curve = curves[table.model, scheme]
            fine = cliff(list(curve), [p.mean for p in curve.values()], _clean(curve), CHANCE)
            same = cliff(STDS, [curve[std].mean for std in STDS], _clean(curve), CHANCE)
            theirs = cliff(STDS, paper, table.clean, CHANCE)
            positions.append(same)
            ratio = same / theirs
            verdict = "yes" if 0.5 <= ratio <= 2 else "no"
            rows.append(
                [table.setting, f"`{scheme}`"]
                + [f"{value:.3g}" for value in (fine, same, theirs, ratio)]
                + [verdict]
            )
        is_ordered = all(a <= b for a, b in pairwise(positions))
        rows.append([table.setting, "order of the schemes", "", "", "", "", _yes(is_ordered)])
    text = (
        "## Cliffs\n\nThe std at which a scheme falls to half of the way between clean and chance,"
        " in a line over log std.\nIt is found on all stds that were run, and on the seven of the"
        " paper, as for the paper's values.\n`agrees`: within a factor of 2 of the paper's.\n\n"
    )
    headings = ["model", "scheme", "all stds", "seven stds", "paper", "ratio", "agrees"]
    return text + _markdown(headings, rows)


def _ledgers(curves: Curves) -> str:
    rows = []
    for (model, scheme), curve in curves.items():
        uses = next(iter(curve.values())).uses
        all_in = [f"{curve[std].all_in:.3f}" for std in STDS]
        rows.append([f"{model.rpartition('-')[2]}, `{scheme}`", f"{uses:.5f}", *all_in])
    text = (
        "## Uses per weight\n\nAs the paper counts, and all-in at each std: with signs, classes,"
        " carried tensors and header,\ncharged at the capacity of the same channel.\n\n"
    )
    return text + _markdown(["std", "paper's count", *map(str, STDS)], rows)


def _clean(curve: Curve) -> float:
    return next(iter(curve.values())).clean


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
