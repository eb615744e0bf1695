"""Accuracy of a model before it is sent, remembered by the digest of its file."""

import json
from pathlib import Path

from weightcast.learning.architectures import architecture_of
from weightcast.models.weights import Model
from weightcast_client.progress import Progress


def clean_accuracy(
    model: Model, cache: Path, n_images: int | None, arithmetic: str, progress: Progress
) -> float:
    """Return the accuracy in % of a model that has not been sent.

    Args:
        model: of a known architecture.
        cache: folder of the test set, and of what is remembered.
        n_images: first test images; None: all.
        arithmetic: of the evaluation that it will be compared with.
        progress: is told how far it is if it must be computed.
    """
    memory = cache / "clean" / f"{model.digest()}-{arithmetic}-{n_images or 'all'}.json"
    if memory.exists():
        return float(json.loads(memory.read_text())["accuracy"])
    from safetensors.torch import load_file

    from weightcast.learning import data
    from weightcast.learning.evaluation import Evaluator

    test = data.load(cache, "test")
    evaluator = Evaluator(
        architecture_of(model.layout), test.images[:n_images], test.labels[:n_images], arithmetic
    )
    found = evaluator.evaluate(
        load_file(model.path), lambda *done: progress.report("evaluate clean", *done)
    )
    accuracy = 100 * found.correct / found.n_images
    memory.parent.mkdir(parents=True, exist_ok=True)
    temporary = memory.with_suffix(".new")
    temporary.write_text(json.dumps({"accuracy": accuracy, "correct": found.correct}))
    temporary.replace(memory)
    return accuracy
