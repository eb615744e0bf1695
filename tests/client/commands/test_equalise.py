"""The command `client equalise`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from weightcast.models import zoo
from weightcast_client.cli import app

SWEEP = """
n_images = 200

[schemes.unprotected]

[channels.awgn]
std = [0.0, 0.05]
"""


@pytest.mark.cifar
@pytest.mark.slow
def test_an_equalised_model_has_the_same_accuracy_and_stands_more_noise(tmp_path: Path) -> None:
    equal, results = tmp_path / "equal.safetensors", tmp_path / "sweep.jsonl"
    assert CliRunner().invoke(app, ["equalise", zoo.DEFAULT_MODEL, str(equal)]).exit_code == 0
    models = json.dumps([zoo.DEFAULT_MODEL, str(equal)])
    (tmp_path / "sweep.toml").write_text(f"model = {models}{SWEEP}")
    assert CliRunner().invoke(app, ["sweep", str(tmp_path / "sweep.toml")]).exit_code == 0
    plain, drowned, same, alive = map(json.loads, results.read_text().splitlines())
    assert plain["correct"] == same["correct"] > 180
    assert drowned["correct"] < 50 and alive["correct"] > 160
