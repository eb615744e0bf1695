"""A plain training, on pictures whose brightness tells their class."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from weightcast.datasets.base import Samples
from weightcast.datasets.samples import Pictures
from weightcast.errors import ModelError, ParameterError
from weightcast.tasks.mnist import Mnist
from weightcast.tasks.mnist.task import normalised
from weightcast.tasks.recognition import KEY
from weightcast.training.fitting import fit, save

RNG = np.random.Generator(np.random.Philox(5))
LABELS = RNG.integers(0, 10, 203).astype(np.int64)
IMAGES = RNG.integers(0, 60, (203, 28, 28)).astype(np.uint8)
IMAGES[np.arange(203), :, 2 * LABELS] = 255
"""The class is where a bright stripe is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """A stand-in for a task, with the networks of MNIST."""

    name: ClassVar[str] = "toy"
    model: str = "mlp"

    def network(self) -> nn.Module:
        return Mnist(model=self.model).network()

    def samples(self, cache: Path, split: str, n: int | None = None) -> Samples:
        assert split == "train"
        return Pictures(images=IMAGES[:n], labels=LABELS[:n], normalise=normalised)


def trained(model: str = "mlp", seed: int = 1, **more: object) -> dict[str, Tensor]:
    params = {"epochs": 4, "batch": 20, "rate": 0.05} | more
    n = params.pop("n", None)
    toy = Toy(model=model)
    return fit(toy, toy.samples(Path(), "train", n), seed=seed, **params)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["mlp", pytest.param("cnn", marks=pytest.mark.slow)])
def test_what_can_be_learnt_is_learnt(model: str) -> None:
    network = Toy(model=model).network().eval()
    network.load_state_dict(trained(model))
    found = network(normalised(IMAGES)).argmax(1).numpy()
    assert (found == LABELS).mean() > 0.95


@pytest.mark.slow
def test_the_seed_alone_decides() -> None:
    with torch.random.fork_rng():
        first = trained()
        torch.rand(1)
        again, other = trained(), trained(seed=2)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not torch.equal(first["1.weight"], other["1.weight"])


def test_progress_ends_at_all_samples_of_all_epochs() -> None:
    seen: list[tuple[int, int]] = []
    trained(epochs=3, report=lambda done, total: seen.append((done, total)))
    assert len(seen) == 3 * 10 and seen[0] == (20, 600) and seen[-1] == (600, 600)
    seen.clear()
    trained(epochs=2, n=7, report=lambda done, total: seen.append((done, total)))
    assert seen == [(7, 14), (14, 14)]


@pytest.mark.slow
def test_decay_makes_weights_smaller() -> None:
    assert trained(decay=0.1)["1.weight"].norm() < 0.8 * trained(decay=0.0)["1.weight"].norm()


@pytest.mark.parametrize(
    "params", [{"epochs": 0}, {"batch": 1}, {"rate": 0.0}, {"decay": -1.0}, {"rate": float("nan")}]
)
def test_numbers_that_cannot_be_are_refused(params: dict[str, float]) -> None:
    with pytest.raises(ParameterError):
        trained(**params)


def test_a_loss_that_explodes_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"the loss of step \d+ is (nan|inf); the rate may be too"):
        trained(rate=1e12)


def test_the_file_says_which_task_it_is_for(tmp_path: Path) -> None:
    path, tensors = tmp_path / "m.safetensors", trained("cnn", epochs=1)
    save(path, Mnist(model="cnn"), tensors)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()[KEY]) == {"name": "mnist", "model": "cnn"}
        assert set(file.keys()) == set(tensors)
        assert torch.equal(file.get_tensor("0.weight"), tensors["0.weight"])
