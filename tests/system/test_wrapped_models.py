"""A model under the names that wrappers give its tensors is the same model."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightcast.models import zoo

Tensors = dict[str, torch.Tensor]


def prefixed(prefix: str) -> Any:
    return lambda tensors: {prefix + name: value for name, value in tensors.items()}


def without_counters(tensors: Tensors) -> Tensors:
    return {name: value for name, value in tensors.items() if "num_batches" not in name}


def with_epoch(tensors: Tensors) -> Tensors:
    return tensors | {"epoch": torch.tensor(3)}


def send(model: Path | str) -> dict[str, Any]:
    """Send a model, scored on 20 images, and return the result."""
    words = ["send", "--std=0.1", "--limit=20", "--json", f"--model={model}"]
    ran = subprocess.run(
        [sys.executable, "-m", "weightcast_client", *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return send(zoo.DEFAULT_MODEL)


@pytest.mark.cifar
@pytest.mark.slow
@pytest.mark.parametrize(
    "wrap",
    [prefixed("module."), prefixed("_orig_mod."), prefixed("model."), without_counters, with_epoch],
    ids=["DataParallel", "compile", "Lightning", "no counters", "an epoch"],
)
def test_a_wrapped_model_is_sent_and_scored_as_the_plain_one(
    wrap: Any, plain: dict[str, Any], tmp_path: Path
) -> None:
    save_file(wrap(load_file(zoo.find(zoo.DEFAULT_MODEL))), tmp_path / "m.safetensors")
    found = send(tmp_path / "m.safetensors")
    for name in ("accuracy", "clean_accuracy", "weight_mse", "weights_digest", "n_weights"):
        assert found[name] == plain[name], name
