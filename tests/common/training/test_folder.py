import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightcast.errors import ModelError, ParameterError
from weightcast.models.weights import open_model
from weightcast.tasks.cifar10.resnet import ResNet18
from weightcast.tasks.recognition import recognise
from weightcast.training import checkpoint
from weightcast.training.folder import Machine, Order, TrainingFolder, described
from weightcast.training.recipes import RECIPES, SETTINGS

ORDER = Order(
    architecture="resnet18-cifar10",
    setting_name="l2",
    setting=SETTINGS["l2"],
    recipe_name="fast",
    recipe=RECIPES["fast"],
    seed=0,
    n_images=50_000,
)
HERE = Machine("bfloat16", 2)


class Stub:
    """A training of which only the state matters here."""

    def __init__(self) -> None:
        self.rows = [{"epoch": 1, "loss": 2.5}]

    def state(self) -> dict[str, torch.Tensor]:
        return {"model/w": torch.arange(6.0).reshape(2, 3)}

    def restore(self, state: dict[str, torch.Tensor], rows: list[dict[str, float]]) -> None:
        self.restored = state, rows


def test_a_checkpoint_brings_back_tensors_and_facts(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    values = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    checkpoint.save(path, {"a": values, "n": torch.tensor(7)}, {"rows": [{"loss": 0.1}]})
    tensors, facts = checkpoint.load(path)
    assert torch.equal(tensors["a"], values)
    assert tensors["n"] == 7
    assert facts == {"rows": [{"loss": 0.1}]}


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def crash(new: Path) -> None:
        new.write_text("ne")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        checkpoint.replace(path, crash)
    assert path.read_text() == "old"


def test_what_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="is not a checkpoint of a training"):
        checkpoint.load(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="is not a checkpoint of a training"):
        checkpoint.load(path)


def test_a_model_file_has_the_tensors_of_the_architecture(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = ResNet18().to(memory_format=torch.channels_last)
    checkpoint.save_model(path, checkpoint.shipped(model.state_dict()))
    with open_model(path) as opened:
        assert len(opened) == 11_164_352
        assert {tensor.dtype for tensor in opened.layout.weights} == {"BF16"}
        assert {tensor.dtype for tensor in opened.layout.carried} == {"F32", "I64"}
        tensors = (*opened.layout.weights, *opened.layout.carried)
        assert recognise(tensors, opened.metadata) == {"name": "cifar10"}
    found = load_file(path)
    for key, tensor in model.state_dict().items():
        assert torch.equal(found[key], tensor.to(found[key].dtype))


def test_a_folder_resumes_with_the_machine_it_was_begun_on(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path / "new", ORDER)
    assert folder.machine(HERE) == HERE
    folder.save(Stub(), HERE)
    resumed = Stub()
    again = TrainingFolder(tmp_path / "new", ORDER)
    assert again.machine(Machine("float32", 64)) == HERE
    again.restore_into(resumed)
    state, rows = resumed.restored
    assert torch.equal(state["model/w"], Stub().state()["model/w"])
    assert rows == Stub().rows
    assert list(map(json.loads, again.curves_path.read_text().splitlines())) == rows


def test_the_number_of_threads_can_be_chosen_at_the_beginning_only(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path, ORDER)
    assert folder.machine(HERE, 5) == Machine("bfloat16", 5)
    folder.save(Stub(), HERE)
    assert folder.machine(Machine("float32", 64), 2) == HERE
    with pytest.raises(ParameterError, match="holds a training with threads 2, got 1"):
        folder.machine(HERE, 1)


def test_a_folder_of_another_order_is_refused(tmp_path: Path) -> None:
    TrainingFolder(tmp_path, ORDER).save(Stub(), HERE)
    other = dataclasses.replace(ORDER, seed=1)
    with pytest.raises(ParameterError, match="holds a training with seed 0, got 1"):
        TrainingFolder(tmp_path, other).machine(HERE)
    fewer = dataclasses.replace(ORDER, recipe=dataclasses.replace(ORDER.recipe, epochs=3))
    with pytest.raises(ParameterError, match="holds a training with epochs 25, got 3"):
        TrainingFolder(tmp_path, fewer).machine(HERE)


def test_a_finished_folder_has_the_model_and_its_card_and_no_checkpoint(tmp_path: Path) -> None:
    folder = TrainingFolder(tmp_path, ORDER)
    folder.save(Stub(), HERE)
    assert not folder.is_done
    folder.finish({"w": torch.zeros(2, 2)}, {"test_images": 4})
    assert folder.is_done
    names = ["curves.jsonl", "resnet18-cifar10-l2.json", "resnet18-cifar10-l2.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    card = TrainingFolder(tmp_path, ORDER).card()
    with open_model(folder.model_path) as model:
        assert card["sha256"] == model.digest()
    assert card["test_images"] == 4
    with pytest.raises(ParameterError, match="holds a training with seed 0, got 1"):
        TrainingFolder(tmp_path, dataclasses.replace(ORDER, seed=1))


def test_a_broken_card_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "resnet18-cifar10-l2.json"
    for text, message in (("{", "is not a card"), ("{}", "is not the card of a training")):
        card.write_text(text)
        with pytest.raises(ModelError, match=message):
            TrainingFolder(tmp_path, ORDER)


def test_a_card_tells_the_validation_images() -> None:
    assert described(ORDER)["data"] == "CIFAR-10 train, 50,000 images, none for validation"
    paper = dataclasses.replace(ORDER, recipe=RECIPES["paper"])
    assert described(paper)["data"] == "CIFAR-10 train, 50,000 images, 5,000 of them for validation"


def test_an_order_refuses_what_cannot_be() -> None:
    with pytest.raises(ParameterError, match="seed must be at least 0, got -1"):
        dataclasses.replace(ORDER, seed=-1)
    with pytest.raises(ParameterError, match="validation must be less than the 10 images, got 10"):
        dataclasses.replace(
            ORDER, n_images=10, recipe=dataclasses.replace(ORDER.recipe, validation=10)
        )
