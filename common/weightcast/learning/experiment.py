"""One run of a sweep in this process: the pipeline, the ledger and the accuracy."""

import hashlib
import io
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load

from weightcast.arrays import Weights, blocks
from weightcast.coding import Sent
from weightcast.errors import ParameterError
from weightcast.learning import data
from weightcast.learning.architectures import architecture_of
from weightcast.learning.augmentation import split
from weightcast.learning.evaluation import Evaluation, Evaluator
from weightcast.ledger import ErrorMeter, SymbolMeter, figures
from weightcast.models import zoo
from weightcast.models.weights import Model, open_model, put_together
from weightcast.pipeline import transmit
from weightcast.sweeps import Run
from weightcast.wire.side import SideWriter
from weightcast.wire.transmission import announce, ledger_of


@lru_cache(maxsize=1)
def laboratory(cache: Path) -> "Laboratory":
    """Return the laboratory of this process."""
    return Laboratory(cache)


class Laboratory:
    """Does runs one after the other; images are loaded once.

    Args:
        cache: folder of the data set.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._evaluator = lru_cache(maxsize=4)(self._new_evaluator)
        self._clean = lru_cache(maxsize=16)(self._evaluate_clean)

    def do(self, run: Run) -> dict[str, Any]:
        """Do a run and return its figures, with the clean accuracy beside its own.

        Raises:
            ModelError: the model's architecture is not known.
            ParameterError: no weights of the model are noisy.
            DataError: the data set is not in the cache.
        """
        began = time.perf_counter()
        clean = self._clean(run.model, run.split, run.n_images)
        with open_model(zoo.find(run.model)) as model:
            received, costs = _transmit(run, model)
            found = self._evaluate(run, model, [received])
        return costs | {
            "weights_digest": hashlib.sha256(received.data).hexdigest(),
            "accuracy": _percent(found),
            "clean_accuracy": _percent(clean),
            "correct": found.correct,
            "arithmetic": found.arithmetic,
            "seconds": round(time.perf_counter() - began, 2),
        }

    def _evaluate_clean(self, name: str, split_name: str, n_images: int) -> Evaluation:
        with open_model(zoo.find(name)) as model:
            evaluator = self._evaluator(architecture_of(model.layout), split_name, n_images)
            return evaluator.evaluate(load(model.path.read_bytes()))

    def _evaluate(self, run: Run, model: Model, blocks: Iterable[Weights]) -> Evaluation:
        file = io.BytesIO()
        put_together(file, model.layout, blocks, {t.name: raw for t, raw in model.carried()})
        evaluator = self._evaluator(architecture_of(model.layout), run.split, run.n_images)
        return evaluator.evaluate(load(file.getvalue()))

    def _new_evaluator(self, architecture: str, split_name: str, n_images: int) -> Evaluator:
        images, labels = data.load(self._cache, "test" if split_name == "test" else "train")
        chosen = np.arange(len(labels))
        if split_name == "validation":
            _, chosen = split(len(labels), 5_000)
        chosen = chosen[:n_images]
        return Evaluator(architecture, images[chosen], labels[chosen])


def _transmit(run: Run, model: Model) -> tuple[Weights, dict[str, Any]]:
    """Return the weights that arrive and what they cost."""
    scheme, channel = run.build_scheme(), run.build_channel()
    plan = scheme.plan(model)
    symbols, error = SymbolMeter(), ErrorMeter()
    with SideWriter(scheme.side_names) as side:

        def watch(sent: Sent) -> None:
            symbols.add(sent.symbols)
            side.add(sent.side)

        received = transmit(model, scheme, channel, run.noise, plan, watch)
        _restore(received, run, model)
        for at, block in blocks(model):
            error.add(block, received[at : at + len(block)])
        header = announce(
            model=run.model,
            layout=model.layout,
            scheme_name=run.scheme,
            scheme=scheme,
            plan=plan,
            channel_name=run.channel,
            channel=channel,
            seed=run.seed,
            stream=run.stream,
            n_images=run.n_images,
        )
        body = io.BytesIO()
        plane_bytes = side.write(body, model)
    ledger = ledger_of(header, plane_bytes, body.tell(), channel.capacity())
    return received, figures(ledger, symbols, error)


def _restore(received: Weights, run: Run, model: Model) -> None:
    """Put back the weights of the tensors on which no noise is let through."""
    noisy = {tensor for tensor in model.layout.weights if run.is_noisy(tensor.name)}
    if not noisy:
        raise ParameterError(f"noisy: '{run.model}' has no weights '{run.noisy}'")
    end = 0
    for tensor in model.layout.weights:
        start, end = end, end + tensor.n_values
        if tensor not in noisy:
            received[start:end] = model[start:end]


def _percent(evaluation: Evaluation) -> float:
    return 100 * evaluation.correct / evaluation.n_images
