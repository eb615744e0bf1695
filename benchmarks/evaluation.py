"""Images per CPU-second: the fast evaluation against plain float32 torch.

CPU-seconds are the processor time of the whole process. Plain torch is the network as it is, in
float32 and batches of 100. Tracing and folding the network, and what is evaluated in float32 to
know the error of bfloat16, is not counted: it is the difference between evaluating many images and
few. The networks of torchvision have random weights and 64 x 64 pixels of noise, with one class
made clear, as most decisions of a trained network are. They run on one thread: where layers are
small, threads that wait for each other on a busy machine are most of what two would measure.
"""

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from measure import Row, interleaved
from safetensors.torch import load_file
from torch import Tensor, nn

from weightcast.datasets.samples import Pictures
from weightcast.evaluation.accuracy import best_arithmetic, predictions
from weightcast.evaluation.loading import loaded
from weightcast.evaluation.logits import BATCH
from weightcast.models import zoo
from weightcast.tasks import Samples
from weightcast.tasks.cifar10 import Cifar10
from weightcast_client.settings import Settings

N_FEW = BATCH + 32
N_MORE = 400
REPETITIONS = 3
SIDE = 64

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet50": (torchvision.models.resnet50, 300),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 2000),
    "efficientnet_b0": (torchvision.models.efficientnet_b0, 600),
}
"""A builder, and `n_more` as in `_rates`: more for faster networks."""


def measure() -> list[Row]:
    """Measure the default model, then networks of torchvision."""
    task, cache = Cifar10(), Settings().cache
    network = loaded(task.network, load_file(zoo.find(zoo.DEFAULT_MODEL)), zoo.DEFAULT_MODEL)
    fast, plain = _rates(network, lambda n: task.samples(cache, "test", n), N_MORE)
    arithmetic, has_amx = best_arithmetic(), torch.cpu._is_amx_tile_supported()
    rows = [
        Row(what="plain float32 torch", value=plain, unit="images per CPU-second"),
        Row(
            what="evaluator",
            value=fast,
            unit="images per CPU-second",
            at_least=600 if has_amx else None,
            note=f"{arithmetic}; " + ("AMX" if has_amx else "no AMX, no yardstick"),
        ),
        Row(what="evaluator against plain", value=fast / plain, unit="times"),
    ]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, (build, n_more) in NETWORKS.items():
        fast, plain = _rates(_clear(build()), _noise, n_more)
        what, note = f"evaluator against plain, {name}", f"{fast:.0f} images per CPU-second"
        rows.append(Row(what=what, value=fast / plain, unit="times", note=note))
    torch.set_num_threads(n_threads)
    return rows


def _rates(
    network: nn.Module, samples: Callable[[int], Samples], n_more: int
) -> tuple[float, float]:
    """Return images per CPU-second of the fast evaluation and of plain torch.

    Args:
        network: float32, in evaluation mode.
        samples: returns so many.
        n_more: images whose time is measured.
    """
    few, many = samples(N_FEW), samples(N_FEW + n_more)

    @torch.inference_mode()
    def run_plain() -> None:
        for start in range(0, n_more, BATCH):
            network(many.inputs(np.arange(start, start + BATCH)).contiguous())

    tasks: dict[str, Callable[[], object]] = {
        "plain": run_plain,
        "few": lambda: predictions(network, few),
        "many": lambda: predictions(network, many),
    }
    times = interleaved(tasks, REPETITIONS, time.process_time)
    seconds = times["many"].best - times["few"].best
    return n_more / seconds, n_more / times["plain"].best


def _clear(network: nn.Module) -> nn.Module:
    """Return a network in evaluation mode whose class 0 is clear on noise of these sizes."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    *_, last = (module for module in network.modules() if isinstance(module, nn.Linear))
    with torch.no_grad():
        logits = network.train()(_noise(BATCH).inputs(np.arange(BATCH)))
        last.bias[0] += 100 * logits.std()
    return network.eval().requires_grad_(False)


def _noise(n: int) -> Samples:
    """Return pictures of noise, of a mean of 0 and a variance of 1."""
    images = np.random.Generator(np.random.Philox(1)).integers(0, 256, (n, SIDE, SIDE, 3), np.uint8)
    return Pictures(images=images, labels=np.zeros(n, np.int64), normalise=_normalised)


def _normalised(images: npt.NDArray[np.uint8]) -> Tensor:
    return ((torch.from_numpy(images).float() - 127.5) / 73.9).permute(0, 3, 1, 2)
