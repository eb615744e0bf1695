import numpy as np
import pytest
import torch

from weightcast.datasets.samples import Pictures
from weightcast.evaluation import cuda
from weightcast.evaluation.accuracy import predictions
from weightcast.evaluation.cuda import Resident, resident, true_float32
from weightcast.evaluation.loading import loaded
from weightcast.models import zoo
from weightcast.tasks.cifar10 import Cifar10
from weightcast.tasks.cifar10.task import normalised

RNG = np.random.Generator(np.random.Philox(11))
PICTURES = Pictures(
    images=RNG.integers(0, 256, (1_234, 32, 32, 3), np.uint8),
    labels=RNG.integers(0, 10, 1_234),
    normalise=normalised,
)


def test_samples_on_a_device_are_the_same_samples() -> None:
    kept = resident(PICTURES, "cpu")
    assert isinstance(kept, Resident)
    chosen = np.array([0, 1_233, 7, 7])
    assert torch.equal(kept.inputs(chosen), PICTURES.inputs(chosen))
    assert np.array_equal(kept.labels, PICTURES.labels)
    assert len(kept) == 1_234


def test_samples_too_large_for_a_device_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cuda, "MOST_BYTES", 1_234 * 3 * 32 * 32 * 4 - 1)
    assert resident(PICTURES, "cpu") is PICTURES


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_samples_stay_where_they_are() -> None:
    assert resident(PICTURES) is PICTURES


@pytest.mark.parametrize(("arithmetic", "is_exact"), [("cuda-float32", True), ("float32", False)])
def test_float32_on_cuda_is_not_rounded(arithmetic: str, is_exact: bool) -> None:
    flags = torch.backends.cudnn
    before = flags.allow_tf32, flags.deterministic, flags.enabled
    with true_float32(arithmetic):
        found = flags.allow_tf32, flags.deterministic, flags.enabled
    assert found == ((False, True, True) if is_exact else before)
    assert (flags.allow_tf32, flags.deterministic, flags.enabled) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_decides_as_the_cpu_does() -> None:
    from safetensors.torch import load_file

    tensors = load_file(zoo.find(zoo.DEFAULT_MODEL))
    found = [
        predictions(loaded(Cifar10().network, tensors, "cifar10"), PICTURES, arithmetic=arithmetic)
        for arithmetic in ("float32", "cuda-float32")
    ]
    # Rounding itself decides where two logits are nearer than some 1e-5.
    assert (found[0].classes != found[1].classes).sum() <= 1
