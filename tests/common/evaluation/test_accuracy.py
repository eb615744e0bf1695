"""The fast evaluation predicts what plain float32 predicts, and says what it used."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from weightcast.errors import DataError, ModelError
from weightcast.evaluation import accuracy as module
from weightcast.evaluation.accuracy import (
    MARGIN,
    N_MEASURED,
    accuracy,
    best_arithmetic,
    predictions,
)

N = 300


@dataclass
class Drawn:
    """Samples drawn from a normal distribution; it is noted which ones are asked for."""

    n: int = N
    side: int = 8
    asked: list[int] = field(default_factory=list)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return np.arange(self.n) % 3

    def __len__(self) -> int:
        return self.n

    def inputs(self, chosen: npt.NDArray[np.intp]) -> Tensor:
        self.asked += chosen.tolist()
        chance = torch.Generator().manual_seed(1)
        shape = (self.n, 3, self.side, self.side)
        return torch.randn(shape, generator=chance)[torch.from_numpy(chosen)]


def drawn(build: Callable[[], nn.Module], seed: int = 1) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().eval().requires_grad_(False)


def small(n_classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2),
        nn.Hardswish(),
        nn.Flatten(),
        nn.Linear(16 * 9, n_classes),
    )


def plain(network: nn.Module, samples: Drawn) -> Tensor:
    with torch.inference_mode():
        found: Tensor = network(samples.inputs(np.arange(len(samples))))
    return found


@pytest.mark.parametrize("n_classes", [1, 2, 10, 1000])
@pytest.mark.parametrize("seed", [1, 2])
def test_bfloat16_predicts_what_float32_predicts(n_classes: int, seed: int) -> None:
    network, samples = drawn(lambda: small(n_classes), seed), Drawn()
    found = predictions(network, samples, arithmetic="bfloat16")
    assert found.classes.tolist() == plain(network, samples).argmax(1).tolist()
    assert found.classes.dtype == np.int64
    assert found.arithmetic == ("bfloat16" if n_classes == 10 else found.arithmetic)


def test_close_samples_are_evaluated_again() -> None:
    """Each of the first is read to compare the graph, in float32 and bfloat16; no other thrice."""
    samples = Drawn()
    assert predictions(drawn(small), samples, arithmetic="bfloat16").arithmetic == "bfloat16"
    reads = np.bincount(samples.asked, minlength=N)
    assert (reads[N_MEASURED:] >= 1).all() and (reads[N_MEASURED:] <= 2).all()
    logits = plain(drawn(small), samples)
    best = logits.topk(2).values
    gap = (best[:, 0] - best[:, 1]) / logits.std(1)
    # Half of the margin leaves its other half to the error of bfloat16.
    is_close = (gap < MARGIN / 2).numpy()
    assert is_close[N_MEASURED:].any() and (reads[N_MEASURED:][is_close[N_MEASURED:]] == 2).all()
    assert (reads[N_MEASURED:] == 1).mean() > 0.5


def test_an_error_is_of_differences_to_the_best_logit() -> None:
    exact = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 6.0]])
    found = exact + torch.tensor([[0.1, 0.0, 0.1], [0.3, 0.1, -0.2]])
    # Best: the last; differences -0.1 and 0 of a spread of 1, 0.5 and 0.3 of a spread of 3.
    assert module._error(found, exact) == pytest.approx(0.5 / 3)
    assert module._error(found * torch.nan, exact) == np.inf
    assert module._gap(exact).tolist() == pytest.approx([1.0, 1.0])


def test_a_network_whose_decisions_are_all_close_is_evaluated_in_float32() -> None:
    def close() -> nn.Module:
        network = small()
        nn.init.zeros_(network[-1].weight)
        return network

    network = drawn(close)
    network[-1].bias.copy_(torch.linspace(1, 1.001, 10))  # type: ignore[index]
    found = predictions(network, Drawn(), arithmetic="bfloat16")
    assert found.arithmetic == "float32" and (found.classes == 9).all()


class ByValue(nn.Module):
    """Cannot be traced: it looks at its input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(-x if x.sum() > 0 else x)
        return found


class ByType(nn.Module):
    """Is traced wrong: a stand-in for a tensor is not a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x if isinstance(x, Tensor) else x.flip(3))
        return found


class Float32Inside(nn.Module):
    """Cannot be done in bfloat16: gives its layers float32, whatever it gets."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.inner(x.float())
        return found


@pytest.mark.parametrize("build", [ByValue, ByType, Float32Inside])
def test_what_cannot_be_fast_is_right(build: Callable[[], nn.Module]) -> None:
    network, samples = drawn(build), Drawn(n=90)
    found = predictions(network, samples, arithmetic="bfloat16")
    assert found.arithmetic == "float32"
    assert found.classes.tolist() == plain(network, samples).argmax(1).tolist()


def test_views_of_images_are_right_and_fast() -> None:
    class View(nn.Module):
        """Flattens as many do, which an image in channels_last would refuse."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 10)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.max_pool2d(functional.relu(self.conv(x)), 1)
            found: Tensor = self.fc(x.view(x.size(0), -1))
            return found

    network, samples = drawn(View), Drawn()
    found = predictions(network, samples, arithmetic="bfloat16")
    assert found.arithmetic == "bfloat16"
    assert found.classes.tolist() == plain(network, samples).argmax(1).tolist()


class Constant(nn.Module):
    """Without parameters: gives the same output whatever it sees."""

    def __init__(self, make: Callable[[int], object]) -> None:
        super().__init__()
        self.make = make

    def forward(self, x: Tensor) -> object:
        return self.make(len(x))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda n: (torch.zeros(n, 2), torch.zeros(n, 2)), "got tuple of 2"),
        (lambda n: {"logits": torch.zeros(n, 2)}, "got dict of 1"),
        (lambda n: None, "got NoneType"),
        (lambda n: torch.zeros(n), r"got the shape \(8,\)"),
        (lambda n: torch.zeros(n, 2, 4, 4), r"got the shape \(8, 2, 4, 4\)"),
        (lambda n: torch.zeros(1, 2), r"got the shape \(1, 2\)"),
        (lambda n: torch.zeros(n, 0), r"got the shape \(8, 0\)"),
    ],
)
@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_other_outputs_are_refused(
    make: Callable[[int], object], says: str, arithmetic: str
) -> None:
    with pytest.raises(
        ModelError, match=rf"must be one tensor of the shape \(8, classes\), {says}"
    ):
        predictions(Constant(make), Drawn(), arithmetic=arithmetic)


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
def test_a_logit_that_is_not_a_number_counts_as_0(arithmetic: str) -> None:
    row = torch.tensor([-1.0, torch.nan, -2.0])
    found = predictions(Constant(lambda n: row.expand(n, 3)), Drawn(), arithmetic=arithmetic)
    assert (found.classes == 1).all()
    assert (predictions(drawn(broken), Drawn(), arithmetic=arithmetic).classes == 0).all()


def broken() -> nn.Module:
    network = small()
    nn.init.constant_(network[0].weight, torch.nan)
    return network


def test_the_score_counts_the_right_ones() -> None:
    samples = Drawn(n=100)
    row = torch.tensor([0.0, 1.0, 0.0])
    score = accuracy(Constant(lambda n: row.expand(n, 3)), samples, arithmetic="float32")
    assert (score.correct, score.n_samples, score.accuracy) == (33, 100, 33.0)
    assert score.arithmetic == "float32"


def test_no_samples_are_refused() -> None:
    with pytest.raises(DataError, match="no samples"):
        accuracy(drawn(small), Drawn(n=0))


@pytest.mark.parametrize("arithmetic", ["float32", "bfloat16"])
@pytest.mark.parametrize("n", [1, N_MEASURED, N_MEASURED + 1, 150])
def test_progress_ends_at_the_number_of_samples(arithmetic: str, n: int) -> None:
    calls: list[tuple[int, int]] = []
    predictions(drawn(small), Drawn(n=n), lambda *call: calls.append(call), arithmetic)
    assert calls[-1] == (n, n) and calls == sorted(calls)


def test_the_arithmetic_is_one_this_machine_has() -> None:
    assert best_arithmetic() in ("float32", "bfloat16", "cuda-float32")
    assert accuracy(drawn(small), Drawn(n=3)).arithmetic in ("float32", "cuda-float32")
