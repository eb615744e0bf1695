"""One run of a sweep in this process: the pipeline, the ledger and the accuracy."""

import io
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from weightcast.arrays import Weights, blocks
from weightcast.errors import ParameterError
from weightcast.experiment.crossing import cross
from weightcast.experiment.examiner import Examiner, figures_of
from weightcast.experiment.runs import Run
from weightcast.models import zoo
from weightcast.models.weights import Model, open_model, put_together
from weightcast.tasks import Score


@lru_cache(maxsize=1)
def laboratory(cache: Path) -> "Laboratory":
    """Return the laboratory of this process."""
    return Laboratory(cache)


class Laboratory:
    """Does runs one after the other; samples are loaded once.

    Args:
        cache: folder of data sets.
    """

    def __init__(self, cache: Path) -> None:
        self._examiner = Examiner(cache)
        self._clean: dict[str, float] = {}

    def do(self, run: Run) -> dict[str, Any]:
        """Do a run and return its figures, with the clean accuracy beside its own.

        Raises:
            ModelError: the model is not one of the task.
            ParameterError: no weights of the model are noisy.
            DataError: the data set is not in the cache.
        """
        began = time.perf_counter()
        with open_model(zoo.find(run.model), name=run.model) as model:
            if not any(run.is_noisy(tensor.name) for tensor in model.layout.weights):
                raise ParameterError(f"noisy: '{run.model}' has no weights '{run.noisy}'")
            received, found = cross(model, run.setup, run.is_noisy)
            if run.setup.task is not None:
                score = self._score(run, model, [received])
                found |= figures_of(score) | {"clean_accuracy": self._clean_accuracy(run, model)}
        return found | {"seconds": round(time.perf_counter() - began, 2)}

    def _clean_accuracy(self, run: Run, model: Model) -> float:
        setup = run.setup
        key = f"{run.model_digest} {setup.task} {setup.split} {setup.n_samples}"
        if key not in self._clean:
            own = (block for _, block in blocks(model))
            self._clean[key] = self._score(run, model, own).accuracy
        return self._clean[key]

    def _score(self, run: Run, model: Model, weights: Iterable[Weights]) -> Score:
        from safetensors.torch import load

        file = io.BytesIO()
        put_together(file, model.layout, weights, {t.name: raw for t, raw in model.carried()})
        return self._examiner.score(run.setup, load(file.getvalue()))
