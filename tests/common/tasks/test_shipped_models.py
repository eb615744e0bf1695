"""The fast evaluation against plain float32, on the real model and the real test set."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from weightcast.channels.awgn import AWGN
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.datasets.base import Report, Samples
from weightcast.datasets.samples import Pictures
from weightcast.errors import ModelError
from weightcast.evaluation.accuracy import Predictions, best_arithmetic, predictions
from weightcast.evaluation.loading import loaded
from weightcast.models import zoo
from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import Setup
from weightcast.tasks.cifar10 import Cifar10
from weightcast.tasks.cifar10.task import normalised
from weightcast.tasks.recognition import recognise

TASK = Cifar10()
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


def black(n: int) -> Samples:
    """Return black images, all of class 0."""
    images = np.zeros((n, 32, 32, 3), np.uint8)
    return Pictures(images=images, labels=np.zeros(n, np.int64), normalise=normalised)


def predicted(
    state: dict[str, torch.Tensor],
    samples: Samples,
    arithmetic: str | None = None,
    report: Report = lambda done, total: None,
) -> Predictions:
    return predictions(loaded(TASK.network, state, "cifar10"), samples, report, arithmetic)


@pytest.fixture(scope="module")
def test_set() -> Samples:
    from weightcast_client.settings import Settings

    return TASK.samples(Settings().cache, "test")


@pytest.mark.cifar
@pytest.mark.slow
def test_the_fast_evaluation_predicts_what_float32_predicts(test_set: Samples) -> None:
    """On a noisy model, where many decisions are close; the next test is on clean ones."""
    fast = predicted(noisy(HALF), test_set, "bfloat16").classes
    plain = predicted(noisy(HALF), test_set, "float32").classes
    n_fast, n_plain = ((found == test_set.labels).sum() for found in (fast, plain))
    assert 35 < n_plain / 100 < 70
    assert abs(n_fast - n_plain) <= 5
    assert (fast != plain).mean() <= 0.002


@pytest.mark.cifar
@pytest.mark.slow
def test_every_shipped_model_has_the_number_of_right_images_on_its_card(
    test_set: Samples,
) -> None:
    for name, path in zoo.models().items():
        card = zoo.card(name)
        found = TASK.score(loaded(TASK.network, load_file(path), name), test_set)
        assert abs(found.correct - card["test_correct_float32"]) <= 5
        assert found.n_samples == card["test_images"] == 10_000


@pytest.mark.slow
@pytest.mark.cifar
def test_shuffled_weights_are_right_by_chance_only() -> None:
    shuffled = tensors()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in shuffled.items():
        if tensor.dim() > 1:
            order = torch.randperm(tensor.numel(), generator=generator)
            shuffled[name] = tensor.flatten()[order].reshape(tensor.shape)
    from weightcast_client.settings import Settings

    few = TASK.samples(Settings().cache, "test", 500)
    share = (predicted(shuffled, few).classes == few.labels).mean()
    # Five standard errors of a share of 0.1 among 500.
    assert abs(share - 0.1) <= 5 * np.sqrt(0.1 * 0.9 / 500)


def test_an_evaluation_leaves_its_tensors_alone() -> None:
    before, given = tensors(), tensors()
    predicted(given, black(3))
    assert all(torch.equal(given[name], before[name]) for name in before)


def test_progress_ends_at_the_number_of_images() -> None:
    calls: list[tuple[int, int]] = []
    predicted(tensors(), black(150), report=lambda *call: calls.append(call))
    assert calls[-1] == (150, 150) and calls == sorted(calls)


@pytest.mark.parametrize("value", [3e38, float("nan")])
def test_weights_beyond_all_bounds_still_predict_something(value: float) -> None:
    wild = {name: torch.full_like(t, value) if t.dim() > 1 else t for name, t in tensors().items()}
    found = predicted(wild, black(2)).classes
    assert len(found) == 2 and (found < 10).all()
    # Which sums overflow, and so the class at 3e38, depends on their order; nan leaves no choice.
    assert value == 3e38 or (found == 0).all()


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
    with pytest.raises(ModelError, match="not the tensors of cifar10"):
        loaded(TASK.network, broken(), "cifar10")


def test_the_arithmetic_is_one_this_machine_has() -> None:
    assert best_arithmetic() in ("float32", "bfloat16", "cuda-float32")


def test_the_task_is_recognised_by_the_tensors() -> None:
    with open_model(zoo.find(zoo.DEFAULT_MODEL)) as model:
        found = [*model.layout.weights, *model.layout.carried]
        assert recognise(found, {}) == {"name": "cifar10"}
        assert recognise(model.layout.weights, {}) is None
        assert model.layout.n_weights == 11_164_352
