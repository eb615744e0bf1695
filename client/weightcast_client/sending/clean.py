"""Accuracy of a model before it is sent, remembered by the digest of its file."""

import hashlib
import io
import json
from pathlib import Path

from weightcast.arrays import blocks
from weightcast.models.weights import Model, put_together
from weightcast.registry import spec_of
from weightcast.setup import Setup
from weightcast_client.sending.progress import Progress


def clean_accuracy(
    model: Model, setup: Setup, cache: Path, arithmetic: str, progress: Progress
) -> float:
    """Return the accuracy in % of a model that has not been sent.

    Args:
        model: that does the task of the setup.
        setup: with a task.
        cache: folder of data sets, and of what is remembered.
        arithmetic: of the evaluation that it will be compared with.
        progress: is told how far it is if it must be computed.
    """
    asked = [spec_of(setup.task), setup.split, setup.n_samples, arithmetic, model.digest()]
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    memory = cache / "clean" / f"{name}.json"
    if memory.exists():
        return float(json.loads(memory.read_text())["accuracy"])
    from safetensors.torch import load

    from weightcast.experiment.examiner import Examiner

    file = io.BytesIO()
    own = (block for _, block in blocks(model))
    put_together(file, model.layout, own, {t.name: raw for t, raw in model.carried()})
    found = Examiner(cache).score(
        setup,
        load(file.getvalue()),
        lambda *done: progress.report("evaluate clean", *done),
        arithmetic,
    )
    memory.parent.mkdir(parents=True, exist_ok=True)
    temporary = memory.with_suffix(".new")
    temporary.write_text(json.dumps({"accuracy": found.accuracy, "correct": found.correct}))
    temporary.replace(memory)
    return found.accuracy
