"""The command `client convert`."""

from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

from weightcast.errors import ParameterError
from weightcast_client.commands.convert import convert

app = typer.Typer()
app.command()(convert)


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def test_a_checkpoint_becomes_a_model_beside_it(tmp_path: Path) -> None:
    source, out = tmp_path / "a.ckpt.pth", tmp_path / "a.ckpt.safetensors"
    torch.save({"state_dict": {"w": torch.ones(2, 2)}, "epoch": 3}, source)
    done = call(source)
    assert done.exit_code == 0 and done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{out}: 1 tensors, 16 bytes under 'state_dict'",
        "left out, not tensors of the model: 'epoch'",
    ]
    assert load_file(out)["w"].tolist() == [[1, 1], [1, 1]]


def test_only_force_overwrites(tmp_path: Path) -> None:
    source, out = tmp_path / "a.pth", tmp_path / "b.safetensors"
    torch.save({"w": torch.ones(2, 2)}, source)
    out.write_text("mine")
    with pytest.raises(ParameterError, match="is there already"):
        raise call(source, out).exception
    assert out.read_text() == "mine"
    assert call(source, out, "--force").exit_code == 0
    assert "w" in load_file(out)
