"""Accuracy of a model before it is sent, remembered by the digest of its file."""

import hashlib
import json
import secrets
from contextlib import suppress
from pathlib import Path

from weightcast.errors import ParameterError
from weightcast.models.weights import Model
from weightcast.paths import expanded
from weightcast.registry import spec_of
from weightcast.setup import Setup
from weightcast.tasks import Fetching


def clean_accuracy(
    model: Model, setup: Setup, cache: Path, arithmetic: str | None, report: Fetching
) -> float:
    """Return the accuracy in % of a model that has not been sent.

    Args:
        model: that does the task of the setup.
        setup: with a task.
        cache: folder of data sets, and of what is remembered.
        arithmetic: of the evaluation that it will be compared with.
        report: is told how far it is if it must be computed.
    """
    asked = [spec_of(setup.task), setup.split, setup.n_samples, arithmetic, model.digest()]
    name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    memory = cache / "clean" / f"{name}.json"
    with suppress(OSError, ValueError, KeyError, TypeError):  # Not there, or not whole.
        return float(json.loads(memory.read_text())["accuracy"])

    from weightcast.experiment.examiner import Examiner

    found = Examiner(cache).score_model(
        setup,
        model,
        report=lambda *done: report("evaluate clean", *done),
        arithmetic=arithmetic,
    )
    with suppress(OSError, ParameterError):  # A cache that is only read is as good.
        expanded(memory.parent).mkdir(parents=True, exist_ok=True)
        new = memory.with_name(f"{name}.{secrets.token_hex(4)}.new")
        new.write_text(json.dumps({"accuracy": found.accuracy, "correct": found.correct}))
        new.replace(memory)
    return found.accuracy
