"""One run of a sweep in this process: the pipeline, the ledger and the accuracy."""

import time
from functools import lru_cache
from pathlib import Path

from weightcast.arrays import Weights
from weightcast.errors import ParameterError
from weightcast.experiment.examiner import Examiner
from weightcast.experiment.figures import Accuracy, RunResult, accuracy_of
from weightcast.experiment.in_process import send_in_process
from weightcast.experiment.runs import Run
from weightcast.models import zoo
from weightcast.models.weights import Model, open_model


@lru_cache(maxsize=1)
def laboratory(cache: Path) -> "Laboratory":
    """Return the laboratory of this process."""
    return Laboratory(cache)


class Laboratory:
    """Laboratory: does runs one after the other; samples are loaded once.

    Args:
        cache: folder of data sets.
    """

    def __init__(self, cache: Path) -> None:
        self._examiner = Examiner(cache)
        self._clean: dict[str, float] = {}

    def do(self, run: Run) -> RunResult:
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
            received, delivery = send_in_process(model, run.setup, run.is_noisy)
            accuracy = self._accuracy(run, model, received)
        return {**delivery, **accuracy, "seconds": round(time.perf_counter() - began, 2)}

    def _accuracy(self, run: Run, model: Model, received: Weights) -> Accuracy:
        if run.setup.task is None:
            return {}
        score = self._examiner.score_model(run.setup, model, received)
        return {**accuracy_of(score), "clean_accuracy": self._clean_accuracy(run, model)}

    def _clean_accuracy(self, run: Run, model: Model) -> float:
        setup = run.setup
        key = f"{run.model_digest} {setup.task} {setup.split} {setup.n_samples}"
        if key not in self._clean:
            self._clean[key] = self._examiner.score_model(setup, model).accuracy
        return self._clean[key]
