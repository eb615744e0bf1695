"""The command `client inspect`."""

import json
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from weightcast_client.commands.inspect import inspect

app = typer.Typer()
app.command()(inspect)
ONE, TWO = "one.safetensors", "two.safetensors"


def call(*words: str | Path) -> Result:
    done = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.exception
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    matrix = torch.tensor([[1.5, -2.0], [0.25, float("nan")]])
    save_file({"a.weight": matrix}, folder / ONE)
    save_file({"a.bias": torch.ones(3), "n": torch.tensor(5)}, folder / TWO)
    shards = {"a.weight": ONE, "a.bias": TWO, "n": TWO}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    return folder


def test_every_tensor_of_a_sharded_model_is_told(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    found = json.loads(call(folder, "--json").stdout)
    assert found["files"] == [ONE, TWO] and found["model"] == "model"
    assert (found["n_values"], found["n_weights"], found["n_carried"]) == (8, 4, 4)
    assert [tensor["name"] for tensor in found["tensors"]] == ["a.bias", "a.weight", "n"]
    assert found["tensors"][1] == {
        "name": "a.weight",
        "dtype": "F32",
        "shape": [2, 2],
        "role": "weights",
        "share": 50.0,
        "low": -2.0,
        "high": 1.5,
        "largest": 2.0,
        "n_nan": 1,
        "n_inf": 0,
    }
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_patterns_move_tensors_and_notes_say_so(folder: Path) -> None:
    done = call(folder, "--exclude", "a.*")
    for words in ("carried", "50.00 %", "scalar", "0 sent as weights, 8 carried"):
        assert words in done.stdout
    assert "note: 8 of 8 values (100.0 %) are carried" in done.stdout
    assert "note: carried tensors hold nan or infinity: 'a.weight' (1 of 4" in done.stdout
