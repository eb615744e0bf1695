"""The fast evaluation against plain float32, on the real model and the real test set."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from weightcast.channels.awgn import AWGN
from weightcast.coding.unprotected import Unprotected
from weightcast.errors import ModelError
from weightcast.learning import architectures, data
from weightcast.learning.evaluation import Evaluator, best_arithmetic, load
from weightcast.models import zoo
from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import Setup

NAME = "resnet18-cifar10"
HALF = 0.016
"""The std at which the unprotected default model keeps about half of its accuracy."""


def tensors() -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(zoo.find(zoo.DEFAULT_MODEL))
    return found


def noisy(std: float) -> dict[str, torch.Tensor]:
    """Return the default model after an unprotected transmission."""
    with open_model(zoo.find(zoo.DEFAULT_MODEL)) as model:
        received = transmit(model, Setup(scheme=Unprotected(), channel=AWGN(std=std), seed=1))
        found, at = tensors(), 0
        for tensor in model.layout.weights:
            values = received[at : at + tensor.n_values].reshape(tensor.shape)
            found[tensor.name] = torch.from_numpy(values)
            at += tensor.n_values
    return found


@pytest.fixture(scope="module")
def test_set() -> data.Split:
    from weightcast_client.settings import Settings

    return data.load(Settings().cache, "test")


@pytest.mark.cifar
@pytest.mark.slow
def test_the_fast_evaluation_predicts_what_float32_predicts(test_set: data.Split) -> None:
    """On a noisy model, where many decisions are close; the next test is on clean ones."""
    fast = Evaluator(NAME, *test_set, "bfloat16").evaluate(noisy(HALF))
    plain = Evaluator(NAME, *test_set, "float32").evaluate(noisy(HALF))
    assert 35 < plain.correct / 100 < 70
    assert abs(fast.correct - plain.correct) <= 5
    assert (fast.predicted != plain.predicted).mean() <= 0.002


@pytest.mark.cifar
@pytest.mark.slow
def test_every_shipped_model_has_the_number_of_right_images_on_its_card(
    test_set: data.Split,
) -> None:
    for name, path in zoo.models().items():
        card = zoo.card(name)
        found = Evaluator(card["architecture"], *test_set).evaluate(load_file(path))
        assert abs(found.correct - card["test_correct_float32"]) <= 5
        assert found.n_images == card["test_images"] == 10_000


@pytest.mark.cifar
def test_shuffled_weights_are_right_by_chance_only(test_set: data.Split) -> None:
    shuffled = tensors()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in shuffled.items():
        if tensor.dim() > 1:
            order = torch.randperm(tensor.numel(), generator=generator)
            shuffled[name] = tensor.flatten()[order].reshape(tensor.shape)
    images, labels = test_set
    found = Evaluator(NAME, images[:500], labels[:500]).evaluate(shuffled)
    # Five standard errors of a share of 0.1 among 500.
    assert abs(found.correct / 500 - 0.1) <= 5 * np.sqrt(0.1 * 0.9 / 500)


def test_an_evaluation_leaves_its_tensors_alone() -> None:
    before, given = tensors(), tensors()
    images = np.zeros((3, 32, 32, 3), np.uint8)
    Evaluator(NAME, images, np.zeros(3, np.uint8)).evaluate(given)
    assert all(torch.equal(given[name], before[name]) for name in before)


def test_progress_ends_at_the_number_of_images() -> None:
    calls: list[tuple[int, int]] = []
    images, labels = np.zeros((150, 32, 32, 3), np.uint8), np.zeros(150, np.uint8)
    Evaluator(NAME, images, labels).evaluate(tensors(), lambda *call: calls.append(call))
    assert calls[-1] == (150, 150) and calls == sorted(calls)


@pytest.mark.parametrize("value", [3e38, float("nan")])
def test_weights_beyond_all_bounds_still_predict_something(value: float) -> None:
    wild = {name: torch.full_like(t, value) if t.dim() > 1 else t for name, t in tensors().items()}
    images, labels = np.zeros((2, 32, 32, 3), np.uint8), np.zeros(2, np.uint8)
    found = Evaluator(NAME, images, labels).evaluate(wild)
    assert found.n_images == 2 and (found.predicted < 10).all()
    # Which sums overflow, and so the class at 3e38, depends on their order; nan leaves no choice.
    assert value == 3e38 or found.correct == 2


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in tensors().items() if key != name}


@pytest.mark.parametrize(
    "broken",
    [
        lambda: without("linear.bias"),
        lambda: tensors() | {"more": torch.zeros(1)},
        lambda: tensors() | {"linear.bias": torch.zeros(11)},
    ],
)
def test_other_tensors_are_refused(broken: Any) -> None:
    with pytest.raises(ModelError, match=f"not the tensors of {NAME}"):
        load(NAME, broken())


def test_the_arithmetic_is_one_this_machine_has() -> None:
    assert best_arithmetic() in ("float32", "bfloat16", "cuda-float32")


def test_the_architecture_is_recognised_by_its_tensors() -> None:
    shapes = [(name, tuple(tensor.shape)) for name, tensor in tensors().items()]
    assert architectures.recognise(shapes) == NAME
    assert architectures.recognise(shapes[1:]) is None
    built = architectures.build(NAME).state_dict()
    assert sorted((name, tuple(tensor.shape)) for name, tensor in built.items()) == sorted(shapes)
    assert sum(t.numel() for t in built.values() if t.dim() > 1) == 11_164_352
