"""Images per CPU-second: the evaluator against plain float32 torch.

CPU-seconds are the processor time of the whole process. Plain torch is the model as it is, in
float32 and batches of 100. Loading and folding the model is not counted: it is the difference
between evaluating many images and one batch.
"""

import time
from collections.abc import Callable

import torch
from measure import Row, interleaved
from safetensors.torch import load_file

from weightcast.learning import data
from weightcast.learning.evaluation import BATCH, Evaluator, load, normalised
from weightcast.models import zoo
from weightcast_client.settings import Settings

N_IMAGES = 600
REPETITIONS = 3


def measure() -> list[Row]:
    """Measure both."""
    test = data.load(Settings().cache, "test")
    images, labels = test.images[:N_IMAGES], test.labels[:N_IMAGES]
    architecture = zoo.card(zoo.DEFAULT_MODEL)["architecture"]
    tensors = load_file(zoo.find(zoo.DEFAULT_MODEL))
    many = Evaluator(architecture, images, labels)
    few = Evaluator(architecture, images[:BATCH], labels[:BATCH])
    plain = load(architecture, tensors)

    @torch.inference_mode()
    def run_plain() -> None:
        for start in range(0, N_IMAGES, BATCH):
            plain(normalised(images[start : start + BATCH]).contiguous())

    tasks: dict[str, Callable[[], object]] = {
        "plain": run_plain,
        "few": lambda: few.evaluate(tensors),
        "many": lambda: many.evaluate(tensors),
    }
    times = interleaved(tasks, REPETITIONS, time.process_time)
    seconds = times["many"].best - times["few"].best
    fast, slow = (N_IMAGES - BATCH) / seconds, N_IMAGES / times["plain"].best
    has_amx = torch.cpu._is_amx_tile_supported()
    return [
        Row(what="plain float32 torch", value=slow, unit="images per CPU-second"),
        Row(
            what="evaluator",
            value=fast,
            unit="images per CPU-second",
            at_least=600 if has_amx else None,
            note=f"{many.arithmetic}; " + ("AMX" if has_amx else "no AMX, no yardstick"),
        ),
        Row(what="evaluator against plain", value=fast / slow, unit="times"),
    ]
