"""Equalised models compute the same and have the magnitudes that were promised."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from weightcast.errors import ModelError, ParameterError
from weightcast.evaluation.loading import loaded
from weightcast.models import zoo
from weightcast.tasks.cifar10.resnet import ResNet18
from weightcast.tasks.cifar10.task import normalised
from weightcast.training.equalisation import equalised

MODELS = sorted(zoo.models())


def tensors(model: str = zoo.DEFAULT_MODEL) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(zoo.find(model))
    return found


def convolutions(found: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in found.items() if tensor.dim() == 4}


def logits(found: dict[str, Tensor]) -> Tensor:
    images = np.random.Generator(np.random.Philox(2)).integers(0, 256, (8, 32, 32, 3), np.uint8)
    with torch.inference_mode():
        answer: Tensor = loaded(ResNet18, found, "cifar10")(normalised(images))
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["layer", "channel"])
@pytest.mark.parametrize("model", MODELS)
def test_an_equalised_model_gives_the_same_logits(model: str, scope: str) -> None:
    before = logits(tensors(model))
    after = logits(equalised(ResNet18, tensors(model), scope))
    assert (before - after).abs().max() <= 1e-4 * before.std()


@pytest.mark.slow
def test_every_convolution_or_channel_gets_the_largest_magnitude_of_the_network() -> None:
    most = max(float(t.abs().max()) for t in tensors().values() if t.dim() >= 2)
    for name, found in convolutions(equalised(ResNet18, tensors(), "layer")).items():
        factor = most / float(tensors()[name].abs().max())
        assert torch.allclose(found, tensors()[name].float() * factor, rtol=1e-6, atol=0)
    for found in convolutions(equalised(ResNet18, tensors(), "channel")).values():
        assert found.abs().amax((1, 2, 3)).numpy() == pytest.approx(most, rel=1e-6)


@pytest.mark.slow
def test_the_strength_is_the_exponent_of_the_factor() -> None:
    none, half, full = (
        equalised(ResNet18, tensors(), "layer", strength) for strength in (0, 0.5, 1)
    )
    for name, before in convolutions(none).items():
        assert torch.equal(before, tensors()[name].float())
        factor = full[name].abs().max() / before.abs().max()
        assert half[name].abs().max() / before.abs().max() == pytest.approx(
            float(factor.sqrt()), rel=1e-6
        )


def test_given_tensors_are_left_alone() -> None:
    given = {name: t.float() if t.is_floating_point() else t for name, t in tensors().items()}
    kept = {name: tensor.clone() for name, tensor in given.items()}
    equalised(ResNet18, given)
    assert all(torch.equal(given[name], kept[name]) for name in given)


def test_dead_channels_stay_finite_and_compute_the_same() -> None:
    dead = {name: t.float() if t.is_floating_point() else t for name, t in tensors().items()}
    for value, channel in ((0.0, 0), (1e-38, 1)):
        dead["layer4.0.conv1.weight"][channel] = value
        dead["layer4.0.bn1.running_mean"][channel] = 0
        dead["layer4.0.bn1.running_var"][channel] = 0
    found = equalised(ResNet18, dead)
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert (found["layer4.0.conv1.weight"][0] == 0).all()
    before = logits(dead)
    assert (before - logits(found)).abs().max() <= 1e-4 * before.std()


@pytest.mark.parametrize(
    ("scope", "strength", "says"),
    [("filter", 1.0, "scope must be"), ("layer", 1.1, "strength"), ("layer", float("nan"), "str")],
)
def test_other_scopes_and_strengths_are_refused(scope: str, strength: float, says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        equalised(ResNet18, tensors(), scope, strength)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_weights_that_are_not_finite_are_refused(value: float) -> None:
    wild = tensors()
    wild["layer1.0.conv1.weight"][3, 0, 0, 0] = value
    with pytest.raises(ModelError, match="not finite"):
        equalised(ResNet18, wild)
