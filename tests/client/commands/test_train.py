import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from weightcast.tasks.cifar10.data import Labelled
from weightcast.training.folder import Order, TrainingFolder
from weightcast.training.recipes import RECIPES, SETTINGS, changed
from weightcast.training.session import machine_for
from weightcast_client.cli import app
from weightcast_client.commands.train import train_into
from weightcast_client.screen.curves import draw
from weightcast_web.running.command import run

CLIENT = [sys.executable, "-m", "weightcast_client.cli", "train"]


def order(**changes: Any) -> Order:
    """Return an order of two steps."""
    recipe = dataclasses.replace(RECIPES["fast"], epochs=2, batch=32, validation=8)
    plain = Order(
        architecture="resnet18-cifar10",
        setting_name="dropout",
        setting=SETTINGS["dropout"],
        recipe_name="fast",
        recipe=recipe,
        seed=0,
        n_images=40,
    )
    return dataclasses.replace(plain, **changes)


def noise(n: int) -> Labelled:
    rng = np.random.Generator(np.random.Philox(n))
    images = rng.integers(0, 256, (n, 32, 32, 3), np.uint8)
    return Labelled(images, rng.integers(0, 10, n, np.uint8))


@pytest.mark.slow
def test_a_training_leaves_model_card_and_curves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = TrainingFolder(tmp_path / "out", order())
    train_into(folder, order(), machine_for(folder)[0], noise(50), noise(20))
    card = folder.card()
    shipped_keys = {
        *("architecture", "data", "setting", "recipe", "trained_by", "normalisation"),
        *("weights_dtype", "test_images", "test_correct_float32", "sha256"),
    }
    assert card.keys() >= shipped_keys | {"seed", "epochs", "versions", "seconds"}
    assert card["data"] == "CIFAR-10 train, 40 images, 8 of them for validation"
    assert card["test_images"] == 20
    assert card["normalisation"] == "mean .4914 .4822 .4465, std .2470 .2435 .2616"
    rows = list(map(json.loads, (tmp_path / "out" / "curves.jsonl").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == [1, 2]
    assert card["chosen_epoch"] in (1, 2)
    assert (tmp_path / "out" / "curves.svg").read_text().startswith("<?xml")
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "epoch 2/2: loss" in seen.err


@pytest.mark.slow
def test_the_first_weights_are_scaled_as_the_recipe_says(tmp_path: Path) -> None:
    first = []
    for scale in (1.0, 0.5):
        recipe = changed(order().recipe, {"peak_rate": "1e-30", "first_scale": str(scale)})
        scaled = order(recipe=recipe)
        folder = TrainingFolder(tmp_path / str(scale), scaled)
        train_into(folder, scaled, machine_for(folder)[0], noise(50), noise(20))
        first.append(load_file(folder.model_path)["conv1.weight"])
    assert torch.equal(first[1], 0.5 * first[0])


def test_figures_are_the_same_for_the_same_curves(tmp_path: Path) -> None:
    rows = [
        {"epoch": i, "loss": 1 / i, "accuracy": 10.0 * i, "validation_accuracy": 9.0 * i}
        for i in (1, 2, 3)
    ]
    for name in ("a.svg", "b.svg"):
        draw(rows, "a training", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["l3"], "no setting 'l3'; known: dropout, l1, l2, none"),
        (["l2", "--recipe", "slow"], "no recipe 'slow'; known: fast, paper"),
        (["l2", "--epochs", "0"], "epochs must be at least 1, got 0"),
        (["l2", "--set", "peak_rate=inf"], "peak_rate must be above 0 and finite, got inf"),
        (
            ["l2", "--set", "rate=1"],
            "a recipe has no 'rate' to set; known: batch, crop_padding, cutout, peak_rate, "
            "warm_up, smoothing, first_scale, average, flips, pixels",
        ),
        (["l2", "--set", "pixels=24;32"], "pixels cannot be '24;32'"),
        (["l2", "--set", "cutout"], "expected key=value, got 'cutout'"),
        (["l2", "--seed", "-1"], "seed must be at least 0, got -1"),
        (["l2", "--limit", "9"], "validation must be less than the 9 images, got 5000"),
    ],
)
def test_bad_use_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["client", "train", *arguments])
    with pytest.raises(SystemExit) as left:
        run(app)
    assert left.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_finished_training_says_so_and_does_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = order(setting_name="l2", setting=SETTINGS["l2"], recipe=RECIPES["fast"])
    folder = TrainingFolder(tmp_path, dataclasses.replace(plain, n_images=50_000))
    folder.save_curves([])
    found = {"test_images": 10_000, "test_correct_float32": 9_500, "chosen_epoch": 25}
    folder.finish({}, found)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    arguments = ["client", "train", "l2", "--recipe", "fast", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as left:
        run(app)
    assert not left.value.code
    message = f"the training in {tmp_path} is done: test accuracy 95.00 %, epoch 25 of 25\n"
    assert capsys.readouterr().err == message
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_help_needs_neither_torch_nor_matplotlib() -> None:
    code = "import sys, weightcast_client.cli; print({'torch', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.cifar
def test_a_training_that_is_killed_and_resumed_gives_the_same_file(tmp_path: Path) -> None:
    arguments = ["dropout", "--recipe", "fast", "--epochs", "3", "--limit", "400"]
    files = []
    for name, is_killed in (("whole", False), ("killed", True)):
        command = [*CLIENT, *arguments, "--validation", "100", "--out", str(tmp_path / name)]
        if is_killed:
            kill_after_an_epoch(command)
            assert (tmp_path / name / "checkpoint.safetensors").exists()
        subprocess.run(command, check=True, capture_output=True)
        files.append((tmp_path / name / "resnet18-cifar10-dropout.safetensors").read_bytes())
    assert files[0] == files[1]


def kill_after_an_epoch(command: list[str]) -> None:
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch 1/"):
                process.kill()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.cifar
def test_two_hundred_steps_on_2560_images_learn_far_more_than_chance(tmp_path: Path) -> None:
    arguments = ["l2", "--recipe", "fast", "--epochs", "10", "--limit", "2560"]
    subprocess.run([*CLIENT, *arguments, "--out", str(tmp_path)], check=True, capture_output=True)
    card = json.loads((tmp_path / "resnet18-cifar10-l2.json").read_text())
    # Chance is 10 % with a standard error of 0.3 %.
    assert card["test_correct_float32"] > 2_500
