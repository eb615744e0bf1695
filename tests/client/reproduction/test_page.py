from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from safetensors.numpy import save_file

from weightcast.experiment.curves import cliff, curves, std_of
from weightcast.experiment.results import Results, Row
from weightcast.models.weights import open_model
from weightcast_client.reproduction import figures
from weightcast_client.reproduction.paper import CHANCE, STDS, TABLES, Table
from weightcast_client.reproduction.run import all_runs, write_page

ROOT = Path(__file__).parents[3]
FINDINGS = ROOT / "docs/findings/paper.md"


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Made-up results of all runs: 90 % below std 0.15, else 10 %."""
    found = Results(tmp_path / "out/results.jsonl")
    found.path.parent.mkdir()
    for run in all_runs(quick=True):
        is_good = std_of(run.setup.channel) < 0.15
        figures = {
            "accuracy": 90.0 + 0.1 * run.setup.draw if is_good else 10.0,
            "clean_accuracy": 90.0,
            "uses_per_weight": 1.0,
            "all_in_uses_per_weight": 1.25,
        }
        found._rows[run.key] = Row(run, run.row() | figures)
    return found


def test_the_page_shows_our_values_above_the_papers(results: Results, tmp_path: Path) -> None:
    path = write_page(results, all_runs(quick=True), tmp_path / "out", quick=True)
    lines = path.read_text().splitlines()
    assert path == tmp_path / "out.md"
    start = next(i for i, line in enumerate(lines) if line.startswith("## Table 1: "))
    assert lines[start].endswith("clean 90.00 (paper 95.45)")
    assert lines[start + 4].startswith("| `unprotected` | 90.10 ± 0.25 |")
    assert lines[start + 5].startswith("| paper | 95.40 | 95.27 |")
    cliff = next(line for line in lines if line.startswith("| l2 | `adaptive-redundancy`"))
    assert "| 0.173 |" in cliff, "half of the way between 0.1 and 0.3 in log std"


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes(results: Results, tmp_path: Path) -> None:
    runs, out = all_runs(quick=True), tmp_path / "out"
    found = []
    for _ in range(2):
        page = write_page(results, runs, out, quick=True)
        found.append([p.read_bytes() for p in (page, *sorted(out.glob("*.svg")))])
    assert found[0] == found[1] and len(found[0]) == 3


def test_the_histogram_is_a_drawing_with_both_counts(tmp_path: Path) -> None:
    weights = np.random.Generator(np.random.Philox(1)).normal(0, 1, (100, 100)).astype("f4")
    save_file({"w": weights}, tmp_path / "m.safetensors")
    with open_model(tmp_path / "m.safetensors") as model:
        figures.histogram(model, tmp_path / "figure.svg")
    ElementTree.parse(tmp_path / "figure.svg")
    assert "9,994 small, 6 large" in (tmp_path / "figure.svg").read_text()


@pytest.mark.parametrize(
    ("table", "scheme"), [(table, scheme) for table in TABLES for scheme in table.rows]
)
def test_scales_of_layers_alone_bring_all_cliffs_but_one_to_the_papers(
    table: Table, scheme: str
) -> None:
    """What the findings say of `experiments/equalised.md` and `experiments/equalised-others.md`."""
    name = "equalised" if table is TABLES[0] else "equalised-others"
    rows = Results(ROOT / f"experiments/{name}.jsonl").rows()
    curve = curves(rows)[f"runs/{table.setting}-layer-0.25.safetensors", scheme]
    points = list(curve.values())
    ours = cliff(list(curve), [point.mean for point in points], points[0].clean, CHANCE)
    is_near = 0.5 <= ours / cliff(STDS, table.rows[scheme], table.clean, CHANCE) <= 2
    assert is_near is not (table.setting == "l1" and scheme == "adaptive-redundancy")


def test_what_the_findings_say_of_layers_under_adaptive_redundancy_is_in_its_results() -> None:
    """What the findings say of `experiments/layers-redundancy.md`."""
    rows = Results(ROOT / "experiments/layers-redundancy.jsonl").rows()
    found = {
        noisy: {
            model: curve
            for (model, _), curve in curves(r for r in rows if r.run.noisy == noisy).items()
        }
        for noisy in ("*", "!layer4.1.*", "!layer4.*")
    }
    said = [found[noisy]["resnet18-cifar10-l1"][0.2] for noisy in ("!layer4.1.*", "*")]
    for model in ("resnet18-cifar10-l1", "resnet18-cifar10-none"):
        curve = found["!layer4.*"][model]
        points = list(curve.values())
        said.append(f"{cliff(list(curve), [p.mean for p in points], points[0].clean, CHANCE):.3f}")
    for words in map(str, said):
        assert words in FINDINGS.read_text()
