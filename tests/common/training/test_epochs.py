"""The loop, on a network of a few hundred weights and pictures of noise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weightcast.errors import ModelError, ParameterError
from weightcast.tasks.cifar10.resnet import ResNet18, dropped
from weightcast.training.augmentation import Batches
from weightcast.training.epochs import Training, initialised
from weightcast.training.recipes import RECIPES, SETTINGS, Recipe, Setting
from weightcast.training.steps import Steps, add_l1_gradient_into

RNG = np.random.Generator(np.random.Philox(9))
LABELS = RNG.integers(0, 10, 200, np.uint8)
IMAGES = RNG.integers(0, 128, (200, 32, 32, 3), np.uint8) + 12 * LABELS[:, None, None, None]
"""The brighter, the higher the class."""

TINY = dataclasses.replace(RECIPES["fast"], epochs=4, batch=50)
EVERYTHING = Setting(description="all at once", l1=1e-4, l2=5e-4, dropout=0.2)


class Net(nn.Module):
    """A convolution, batch norm, dropout and a linear layer."""

    def __init__(self, dropout: float = 0.2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, stride=4, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.linear = nn.Linear(16, 10)
        self.dropout = dropout

    def forward(self, x: Tensor, chance: torch.Generator) -> Tensor:
        x = torch.relu(self.bn(self.conv(x)))
        if self.training and self.dropout:
            x = dropped(x, self.dropout, chance)
        logits: Tensor = self.linear(x.mean((2, 3)))
        return logits


class Kill(Exception):
    """Stands for the end of the process."""


def validate(tensors: Mapping[str, Tensor]) -> float:
    """Return a figure that goes up and down from epoch to epoch."""
    return float(tensors["conv.weight"].abs().sum() * 1e4 % 100)


def training(
    arithmetic: str = "float32",
    setting: Setting = EVERYTHING,
    recipe: Recipe = TINY,
    seed: int = 3,
    validated: bool = True,
) -> Training:
    model = initialised(lambda: Net(setting.dropout), seed)
    return Training(
        Steps(model, setting, recipe, arithmetic),
        Batches(recipe, seed, IMAGES, LABELS),
        validate if validated else None,
    )


def finish(unfinished: Training) -> Training:
    while not unfinished.is_done:
        unfinished.do_epoch()
    return unfinished


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def is_same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def without_seconds(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def one_step(setting: Setting) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the parameters before and after one step with the full rate."""
    recipe = dataclasses.replace(TINY, epochs=1, batch=200, crop_padding=0, warm_up=0.0)
    net = initialised(Net, 0)
    net.dropout = 0.0
    with torch.no_grad():
        net.bn.bias += 0.5
    before = copied(dict(net.named_parameters()))
    # Two epochs promised, one done: the rate of the only step is half of the peak.
    recipe = dataclasses.replace(recipe, epochs=2)
    steps = Steps(net, setting, recipe, "float32")
    Training(steps, Batches(recipe, 0, IMAGES, LABELS)).do_epoch()
    return before, copied(dict(net.named_parameters()))


def difference_by_setting(setting: Setting) -> list[tuple[Tensor, Tensor]]:
    """Return each parameter with what the setting added to its gradient."""
    before, after = one_step(setting)
    _, plain = one_step(SETTINGS["none"])
    # Nesterov's first step is rate * (1 + momentum) * gradient.
    scale = TINY.peak_rate / 2 * (1 + TINY.momentum)
    return [(before[name], (plain[name] - after[name]) / scale) for name in before]


@pytest.mark.slow
@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
@pytest.mark.parametrize("validated", [True, False])
def test_a_training_killed_in_any_epoch_ends_with_the_same_bits(
    arithmetic: str, validated: bool
) -> None:
    whole = finish(training(arithmetic, validated=validated))
    for n_before in range(1, 4):
        killed = training(arithmetic, validated=validated)
        for _ in range(n_before):
            killed.do_epoch()
        state, rows = copied(killed.state()), list(killed.rows)
        with pytest.raises(Kill):
            killed.do_epoch(kill_at_step_2)

        resumed = training(arithmetic, validated=validated)
        resumed.restore(state, rows)
        finish(resumed)
        assert is_same(resumed.state(), whole.state())
        assert is_same(resumed.chosen(), whole.chosen())
        assert without_seconds(resumed.rows) == without_seconds(whole.rows)


def kill_at_step_2(done: int, total: int, loss: float, accuracy: float) -> None:
    if done == 2:
        raise Kill


@pytest.mark.parametrize("validated", [True, False])
def test_the_running_mean_is_taken_and_survives_a_kill(validated: bool) -> None:
    recipe = dataclasses.replace(TINY, average=0.9)
    whole = training(recipe=recipe, validated=validated)
    expected: dict[str, Tensor] = {}
    for _ in range(2):
        steps = whole._steps.do

        def do(x: Tensor, labels: Tensor, rate: float, steps: Any = steps) -> Any:
            found = steps(x, labels, rate)
            for name, tensor in dict(whole._model.named_parameters()).items():
                old = expected.get(name, tensor)
                expected[name] = (old + 0.1 * (tensor - old)).detach().clone()
            return found

        whole._steps.do = do  # type: ignore[method-assign]
        whole.do_epoch()
        whole._steps.do = steps  # type: ignore[method-assign]
    killed = training(recipe=recipe, validated=validated)
    killed.do_epoch()
    resumed = training(recipe=recipe, validated=validated)
    resumed.restore(copied(killed.state()), list(killed.rows))
    resumed.do_epoch()
    assert is_same(resumed.state(), whole.state())
    for name, tensor in expected.items():
        assert torch.allclose(whole._present()[name], tensor, atol=1e-5)
        assert not torch.equal(whole._present()[name], whole.state()[f"model/{name}"])


@pytest.mark.slow
def test_a_training_repeats_with_its_seed_and_only_with_it() -> None:
    first = finish(training())
    assert is_same(finish(training()).state(), first.state())
    assert not is_same(finish(training(seed=4)).state(), first.state())


def test_a_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    training().do_epoch()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_training_learns() -> None:
    recipe = dataclasses.replace(TINY, epochs=20, crop_padding=0)
    rows = finish(training(setting=SETTINGS["l2"], recipe=recipe)).rows
    # Chance is 10 %; five standard errors of 200 images above it are 20.6 %.
    assert rows[-1]["accuracy"] > 30
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_the_first_of_the_best_epochs_is_chosen() -> None:
    net = training()
    kept = []
    while not net.is_done:
        net.do_epoch()
        kept.append(copied(net.state()))
    net.rows = [
        row | {"validation_accuracy": v} for row, v in zip(net.rows, [1, 7, 7, 3], strict=True)
    ]
    assert net.chosen_epoch == 2

    found = finish(training())
    best = kept[found.chosen_epoch - 1]
    assert is_same(
        found.chosen(),
        {k.removeprefix("model/"): t for k, t in best.items() if k.startswith("model/")},
    )
    highest = max(row["validation_accuracy"] for row in found.rows)
    assert found.rows[found.chosen_epoch - 1]["validation_accuracy"] == highest


def test_without_validation_the_last_epoch_is_chosen() -> None:
    done = finish(training(validated=False))
    assert done.chosen_epoch == 4
    assert "validation_accuracy" not in done.rows[0]
    assert torch.equal(done.chosen()["conv.weight"], done.state()["model/conv.weight"])


def test_the_steps_follow_the_rate_of_the_recipe() -> None:
    rows = finish(training()).rows
    assert [row["rate"] for row in rows] == [TINY.rate(step, 16) for step in (3, 7, 11, 15)]


def test_l2_decays_every_parameter() -> None:
    strong = Setting(description="", l2=0.5)
    for before, added in difference_by_setting(strong):
        assert torch.allclose(added, 0.5 * before, atol=1e-5)


def test_l1_adds_the_sign_of_every_parameter_to_its_gradient() -> None:
    strong = Setting(description="", l1=0.5)
    for before, added in difference_by_setting(strong):
        assert torch.allclose(added, 0.5 * before.sign(), atol=1e-5)


def test_the_l1_gradient_is_that_of_the_sum_of_magnitudes() -> None:
    net = initialised(Net, 1)
    penalty = 5e-6 * sum(p.abs().sum() for p in net.parameters())
    wanted = torch.autograd.grad(penalty, list(net.parameters()))
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    add_l1_gradient_into(net, 5e-6)
    for parameter, gradient in zip(net.parameters(), wanted, strict=True):
        assert torch.equal(parameter.grad, gradient)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("n", [1, 3, 64])
def test_dropout_drops_a_share_p_and_scales_the_rest(
    n: int, memory_format: torch.memory_format
) -> None:
    x = torch.ones(n, 64, 33, 3).to(memory_format=memory_format)
    y = dropped(x, 0.2, torch.Generator().manual_seed(1))
    share = float((y == 0).double().mean())
    assert abs(share - 0.2) < 5 * (0.2 * 0.8 / x.numel()) ** 0.5 + 2**-16
    assert y[y != 0].unique().tolist() == [1.25]
    assert y.is_contiguous(memory_format=memory_format)


def test_dropout_follows_its_generator() -> None:
    x = torch.ones(4, 8, 5, 5)
    first, again, other = (dropped(x, 0.5, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_resnet_drops_after_the_stem_and_after_each_stage() -> None:
    model = initialised(lambda: ResNet18(0.2), 0).train()
    for name, parameter in model.named_parameters():
        if ".bn" in name or name.startswith("bn"):
            # Far above zero, so that the rectifiers pass everything and only dropout makes zeros.
            parameter.data.fill_(0.01 if name.endswith("weight") else 5.0)
    shares = {}
    places = {name: getattr(model, name) for name in ("layer1", "layer2", "layer3", "layer4")}
    places |= {"inside": model.layer1[1], "inside a block": model.layer1[0].conv2}
    for name, module in places.items():
        module.register_forward_pre_hook(
            lambda _, x, name=name: shares.update({name: float((x[0] == 0).double().mean())})
        )
    outputs = {}
    model.layer4.register_forward_hook(lambda _, x, y: outputs.update(layer4=y.detach().clone()))
    model.linear.register_forward_pre_hook(lambda _, x: outputs.update(linear=x[0].detach()))
    model(torch.zeros(8, 3, 32, 32), torch.Generator().manual_seed(2))
    for name in ("layer1", "layer2", "layer3", "layer4"):
        # The smallest has 8 x 256 x 8 x 8 values: five standard errors are 0.0055.
        assert shares[name] == pytest.approx(0.2, abs=0.0055)
    assert shares["inside"] == shares["inside a block"] == 0
    assert not torch.allclose(outputs["linear"], outputs["layer4"].mean((2, 3)), rtol=0.01)


def test_resnet_drops_nothing_in_evaluation_and_demands_a_generator_in_training() -> None:
    model = initialised(lambda: ResNet18(0.2), 0)
    plain = ResNet18()
    plain.load_state_dict(model.state_dict())
    x = torch.ones(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.allclose(model.eval()(x), plain.eval()(x), atol=1e-5)
    with pytest.raises(ParameterError, match="dropout needs a generator in training, got None"):
        model.train()(x)


def test_first_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (initialised(Net, seed).state_dict() for seed in (1, 1, 2))
    assert is_same(first, again)
    assert not is_same(first, other)


def test_a_scale_multiplies_the_first_weights_of_convolutions_and_nothing_else() -> None:
    first, scaled = (initialised(Net, 1, scale).state_dict() for scale in (1.0, 0.25))
    assert torch.equal(scaled["conv.weight"], 0.25 * first["conv.weight"])
    assert all(torch.equal(scaled[name], first[name]) for name in first if name != "conv.weight")


def test_smoothing_shares_a_part_of_each_label_out_to_all_classes() -> None:
    recipe = dataclasses.replace(TINY, batch=200, peak_rate=1e-30, smoothing=0.3)
    row = training(recipe=recipe, setting=SETTINGS["none"]).do_epoch()
    ((x, labels),) = Batches(recipe, 3, IMAGES, LABELS).epoch(1)
    logits = initialised(lambda: Net(0.0), 3)(x, torch.Generator()).detach()
    target = torch.full((200, 10), 0.03)
    target[torch.arange(200), labels] += 0.7
    loss = -(target * logits.log_softmax(1)).sum(1).mean()
    assert row["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    recipe = dataclasses.replace(TINY, peak_rate=1e30)
    with pytest.raises(ModelError, match="the loss of epoch 1 became"):
        finish(training(recipe=recipe))
