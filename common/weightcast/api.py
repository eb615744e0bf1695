"""The Python face: a model sent, scored and swept in this process, in a call each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weightcast.errors import ModelError
from weightcast.experiment.examiner import Examiner, ensure, setup_for
from weightcast.experiment.figures import (
    Accuracy,
    InProcessResult,
    accuracy_of,
    ratios_of,
    subject_of,
)
from weightcast.experiment.in_process import send_in_process
from weightcast.experiment.laboratory import Laboratory
from weightcast.experiment.results import Results, RowFields
from weightcast.experiment.sweeps import Sweep
from weightcast.models import zoo
from weightcast.models.weights import Model, open_model, put_together
from weightcast.setup import Setup
from weightcast.tasks import Fetching, Score

if TYPE_CHECKING:
    from torch import Tensor

    Values = Tensor | np.ndarray[Any, Any]
    StateDict = Mapping[str, Values]
    ModelLike = StateDict | str | Path

__all__ = ["Setup", "evaluate", "send", "sweep"]

CACHE = Path("~/.cache/weightcast")
"""Where the commands keep data sets, too."""


def send(
    model: ModelLike, *, task: Any = None, cache: Path = CACHE, **fields: Any
) -> tuple[dict[str, Values], InProcessResult]:
    """Send a model over a channel in this process; return what arrives, and a report.

    The same weights arrive as by `client send` with the same setup, bit for bit.

    Args:
        model: a state_dict of torch tensors or numpy arrays, the name of a shipped model, or a
            file. Tensors with two or more dimensions are weights, all others are carried.
        task: what accuracy means: a name or a spec; "auto" recognises it; None: no accuracy.
        cache: folder of data sets.
        fields: of the setup: ``channel={"name": "awgn", "std": 0.1}``, ``scheme="unprotected"``,
            ``decoder=...``, ``seed=0``, ``draw=0``, ``split="test"``, ``n_samples=1000``.

    Returns:
        The tensors that arrive (weights as float32, carried ones as they were; of torch where the
        model's are), and a report with those keys of `client send --json` that apply.

    Raises:
        UnknownNameError, ParameterError: a name or a param that there is not.
        ModelError: tensors that cannot be sent, or do not fit the task.
        WeightsError: a weight is not finite.

    >>> layer = {"w": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)}
    >>> arrived, report = send(layer, scheme="unprotected", channel={"name": "awgn", "std": 0})
    >>> bool(np.allclose(arrived["w"], layer["w"])), report["uses_per_weight"]
    (True, 1.0)
    """
    spec = dict(fields) if task == "auto" else fields | {"task": task}
    with _opened(model) as opened, tempfile.TemporaryDirectory() as folder:
        setup = setup_for(spec, opened)
        weights, delivery = send_in_process(opened, setup)
        path = Path(folder) / "arrived.safetensors"
        with path.open("wb") as file:
            carried = {tensor.name: raw for tensor, raw in opened.carried()}
            put_together(file, opened.layout, [weights], carried)
        is_torch = not isinstance(model, Mapping) or any(map(_is_torch, model.values()))
        arrived = _read(path, is_torch=is_torch)
        accuracy: Accuracy = {}
        if setup.task is not None:
            examiner = _examiner(setup, cache)
            accuracy = accuracy_of(examiner.score_model(setup, opened, weights))
            accuracy["clean_accuracy"] = examiner.score_model(setup, opened).accuracy
        report: InProcessResult = {
            **subject_of(opened, setup),
            **delivery,
            **ratios_of(setup.channel, delivery["average_power"]),
            **accuracy,
        }
    return arrived, report


def evaluate(model: ModelLike, task: Any = "auto", *, cache: Path = CACHE, **fields: Any) -> Score:
    """Return how well a model does at a task, without sending it.

    Args:
        model, task, cache: as for `send`.
        fields: ``split`` and ``n_samples``.

    Raises:
        ModelError: the tensors do not fit the task, or none is recognised.
    """
    spec = {"channel": "noiseless"} | fields
    with _opened(model) as opened:
        setup = setup_for(spec if task == "auto" else spec | {"task": task}, opened)
        return _examiner(setup, cache).score_model(setup, opened)


def sweep(
    model: ModelLike | Sequence[str],
    *,
    results: Path | None = None,
    cache: Path = CACHE,
    report: Fetching = lambda what, done, total: None,
    **fields: Any,
) -> list[RowFields]:
    """Do a grid of runs in this process and return a row of results for each.

    Args:
        model: as for `send`, or several names.
        results: file of results, as `client sweep` writes it; runs that are in it are not done
            again. None: nothing is kept.
        cache: folder of data sets.
        report: is told ("runs", done, all).
        fields: of a sweep file, see `docs/sweeps.md`: ``schemes={"unprotected": {}}``,
            ``channels={"awgn": {"std": [0.01, 0.1]}}``, ``draws=3``, ``seed``, ``task`` and so on.
    """
    with tempfile.TemporaryDirectory() as folder:
        names: Any = model
        if isinstance(model, Mapping):
            path = Path(folder) / "model.safetensors"
            _write(path, model)
            names = str(path)
        runs = Sweep(model=str(names) if isinstance(names, Path) else names, **fields).runs()
        found = Results(Path(results or Path(folder) / "results.jsonl").expanduser())
        laboratory = Laboratory(cache.expanduser())
        for done, run in enumerate(runs):
            report("runs", done, len(runs))
            if run not in found:
                ensure(run.setup, cache.expanduser(), report)
                found.add(run, laboratory.do(run))
        report("runs", len(runs), len(runs))
        return [found[run].figures for run in runs]


@contextmanager
def _opened(model: ModelLike) -> Iterator[Model]:
    """Open a model, by way of a file: a state_dict may be larger than what is left of memory."""
    if not isinstance(model, Mapping):
        with open_model(zoo.find(str(model)), name=str(model)) as opened:
            yield opened
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        _write(path, model)
        with open_model(path, name="state_dict") as opened:
            yield opened


def _write(path: Path, tensors: StateDict) -> None:
    for name, value in tensors.items():
        if not (_is_torch(value) or isinstance(value, np.ndarray)):
            kind = type(value).__name__
            raise ModelError(f"'{name}' is a {kind}; a state_dict holds tensors or numpy arrays")
    if any(map(_is_torch, tensors.values())):
        import torch
        from safetensors.torch import save_file

        save_file(
            {
                name: torch.as_tensor(value).detach().cpu().clone().contiguous()
                for name, value in tensors.items()
            },
            path,
        )
        return
    from safetensors.numpy import save_file as save_arrays

    save_arrays({name: _native(value) for name, value in tensors.items()}, path)


def _native(value: Any) -> np.ndarray[Any, Any]:
    """Return an array in the machine's byte order, without gaps."""
    return np.ascontiguousarray(value, value.dtype.newbyteorder("="))


def _read(path: Path, *, is_torch: bool) -> dict[str, Any]:
    if is_torch:
        from safetensors.torch import load_file

        return dict(load_file(path))
    from safetensors.numpy import load_file as load_arrays

    return dict(load_arrays(path))


def _is_torch(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] == "torch"


def _examiner(setup: Setup, cache: Path) -> Examiner:
    ensure(setup, cache.expanduser(), lambda what, done, total: None)
    return Examiner(cache.expanduser())
