"""What the fast evaluation must keep of every network: the function, and the predicted classes."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from weightcast.datasets.samples import Pictures
from weightcast.evaluation.accuracy import N_MEASURED, predictions
from weightcast.evaluation.fusion import OnePass, fused, is_possible
from weightcast.evaluation.tracing import folded
from weightcast.tasks.cifar10.convolution import MatrixConv2d
from weightcast.tasks.cifar10.resnet import ResNet18

SIDE = 48
N_SAMPLES = N_MEASURED + 4

NETWORKS = {
    "resnet18-cifar10": (ResNet18, 17),
    "densenet121": (torchvision.models.densenet121, 59),
    "efficientnet_b0": (torchvision.models.efficientnet_b0, 74),
    "googlenet": (lambda: torchvision.models.googlenet(init_weights=False), 57),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 47),
    "regnet_y_400mf": (torchvision.models.regnet_y_400mf, 81),
    "resnet50": (torchvision.models.resnet50, 49),
    "shufflenet_v2_x0_5": (torchvision.models.shufflenet_v2_x0_5, 37),
    "vgg11_bn": (lambda: torchvision.models.vgg11_bn(num_classes=10), 8),
    "vit_b_16": (lambda: torchvision.models.vit_b_16(image_size=SIDE), 0),
}
"""A builder, and the convolutions that take in what follows them."""

QUICK = ("resnet18-cifar10",)


def images(n: int) -> Tensor:
    chance = torch.Generator().manual_seed(n)
    return torch.randn(n, 3, SIDE, SIDE, generator=chance)


@pytest.fixture(
    scope="module",
    params=[
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS
    ],
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def network(name: str) -> Iterator[nn.Module]:
    """A network of random weights whose batch norms know the statistics of these images."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found = NETWORKS[name][0]()
        if name.startswith("vit"):
            nn.init.normal_(found.heads.head.weight)
        for module in found.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            found.train()(images(8))
    yield found.eval().requires_grad_(False)


@torch.inference_mode()
def test_a_folded_graph_computes_what_its_network_does(network: nn.Module) -> None:
    """In float64, where rounding of 1e-16 stays small however much a deep network enlarges it."""
    x = images(2).double()
    graph = folded(network.double())
    assert graph is not None
    expected = network(x)
    assert (graph(x) - expected).abs().max() <= 1e-9 * expected.std()
    network.float()


@torch.inference_mode()
def test_one_pass_computes_what_separate_steps_do(network: nn.Module, name: str) -> None:
    """In float32: rounding is 6e-8, which no network here enlarges more than 6,000 times."""
    x = images(2)
    plain, graph = folded(network), fused(network)
    assert plain is not None and graph is not None
    n_fused = sum(isinstance(module, OnePass) for module in graph.modules())
    # Products of matrices, which AMX is given, stand alone.
    n_matrix = sum(isinstance(module, MatrixConv2d) for module in network.modules())
    assert n_fused == (NETWORKS[name][1] - n_matrix if is_possible() else 0)
    expected = plain(x)
    assert (graph(x) - expected).abs().max() <= 1e-3 * expected.std()


def test_the_predicted_classes_are_those_of_plain_float32(network: nn.Module) -> None:
    x = images(N_SAMPLES)
    numbers = np.arange(N_SAMPLES).astype(np.uint8)
    samples = Pictures(
        images=numbers, labels=numbers.astype(np.int64), normalise=lambda some: x[some.tolist()]
    )
    with torch.inference_mode():
        expected = network(x).argmax(1)
    found = predictions(network, samples, arithmetic="bfloat16")
    assert found.classes.tolist() == expected.tolist()
