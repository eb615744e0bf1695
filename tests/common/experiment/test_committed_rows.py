"""Rows of results that were committed with earlier versions, computed again."""

from pathlib import Path
from random import Random

import pytest

from weightcast.experiment.in_process import send_in_process
from weightcast.experiment.results import Results, Row
from weightcast.models import zoo
from weightcast.models.weights import open_model

ROOT = Path(__file__).parents[3]
FILES = [ROOT / "docs/reproduction/results.jsonl", *sorted((ROOT / "experiments").glob("*.jsonl"))]
N = 30


def sample(n: int) -> list[Row]:
    """Return rows of models that are shipped as they were, always the same ones."""
    digests = {name: zoo.digest(name) for name in zoo.models()}
    rows = [row for path in FILES for row in Results(path).rows()]
    ours = [row for row in rows if digests.get(row.run.model) == row.run.model_digest]
    return Random(16).sample(ours, n)


@pytest.mark.parametrize("row", sample(N), ids=lambda row: row.figures["weights_digest"][:8])
def test_a_committed_row_has_the_same_bits_today(row: Row) -> None:
    with open_model(zoo.find(row.run.model), name=row.run.model) as model:
        _, figures = send_in_process(model, row.run.setup, row.run.is_noisy)
    for name in ("weights_digest", "n_symbols", "uses_per_weight", "side_bits", "carried_bits"):
        assert figures[name] == row.figures[name], name
    assert figures["weight_mse"] == pytest.approx(row.figures["weight_mse"], rel=1e-12)
