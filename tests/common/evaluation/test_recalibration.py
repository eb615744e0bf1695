import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weightcast.datasets.samples import Pictures
from weightcast.errors import ModelError
from weightcast.evaluation.recalibration import BATCH, recalibrate_into

RNG = np.random.Generator(np.random.Philox(4))


def inputs(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).float().permute(0, 3, 1, 2) / 255


def pictures(n: int) -> Pictures:
    labels = np.full(n, -1)  # Not looked at.
    images = RNG.integers(0, 256, (n, 8, 8, 3), np.uint8)
    return Pictures(images=images, labels=labels, normalise=inputs)


def network(seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.random.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.BatchNorm2d(4)
        ).eval()


def norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def test_statistics_are_those_of_each_layer_behind_the_recalibrated_ones() -> None:
    net, samples = network(0), pictures(90)
    parameters = {name: p.clone() for name, p in net.named_parameters()}
    names = recalibrate_into(net, samples)
    assert names == [f"{i}.running_{kind}" for i in (1, 4) for kind in ("mean", "var")]
    x = inputs(samples.images)
    for conv, norm in ((net[0], net[1]), (net[3], net[4])):
        y = conv(x)
        # bfloat16, where there are units for it, has 8 bits.
        assert torch.allclose(norm.running_mean, y.mean((0, 2, 3)), atol=0.01)
        assert torch.allclose(norm.running_var, y.var((0, 2, 3)), rtol=0.03)
        x = torch.relu(norm(y))
    assert all(torch.equal(p, parameters[name]) for name, p in net.named_parameters())
    assert not any(module.training for module in net.modules())
    assert all(norm.momentum == 0.1 for norm in norms(net))


def test_several_batches_give_the_mean_over_them_in_the_end() -> None:
    net, samples, seen = network(1), pictures(2 * BATCH + 50), []
    recalibrate_into(net, samples, lambda done, total: seen.append((done, total)))
    assert seen == [(84, 250), (167, 250), (250, 250)]
    first = net[0](inputs(samples.images))
    assert torch.allclose(net[1].running_mean, first.mean((0, 2, 3)), atol=0.01)
    again = network(1)
    recalibrate_into(again, samples)
    assert all(
        torch.equal(a.running_var, b.running_var)
        for a, b in zip(norms(net), norms(again), strict=True)
    )


def test_statistics_that_noise_has_made_wrong_are_mended() -> None:
    net, samples = network(2), pictures(100)
    recalibrate_into(net, samples)
    clean = net(inputs(samples.images))
    noisy = network(2)
    noisy.load_state_dict(net.state_dict())
    with torch.no_grad():
        noisy[0].weight *= 3  # Batch norm undoes a gain, if it knows of it.
    assert (noisy(inputs(samples.images)) - clean).abs().max() > 1
    recalibrate_into(noisy, samples)
    assert (noisy(inputs(samples.images)) - clean).abs().max() < 0.2


def test_what_cannot_be_recalibrated_is_refused() -> None:
    with pytest.raises(ModelError, match="there is no batch norm to recalibrate"):
        recalibrate_into(nn.Sequential(nn.Conv2d(3, 5, 3)), pictures(3))
    net = network(3)
    with torch.no_grad():
        net[0].weight[0] = torch.inf
    with pytest.raises(ModelError, match="'1' gives values that are not finite"):
        recalibrate_into(net, pictures(10))
