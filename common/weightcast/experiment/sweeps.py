"""Sweeps: a grid of runs as TOML, one line of JSON per run.

::

    model = ["resnet18-cifar10-l2"]        # shipped models or safetensors files
    draws = 10                             # of the noise: 0 .. draws - 1
    seed = 0
    task = "cifar10"                       # by default what the model is recognised as
    split = "test"                         # or "validation", to choose params on
    n_samples = 10000                      # the first of the split; by default all
    noisy = ["*", "!layer4.*"]             # tensors on which noise is let through

    [schemes.unprotected]                  # every scheme with every combination of its params
    [schemes.adaptive-redundancy]
    n_large = [1000, 6998]

    [decoders.clipped]                     # likewise; by default inversion alone

    [channels.awgn]                        # likewise
    std = [0.01, 0.1]
"""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple, get_origin, get_type_hints

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS, DEFAULT_DECODER
from weightcast.errors import FormatError
from weightcast.experiment.examiner import task_of
from weightcast.experiment.runs import Run
from weightcast.models import zoo
from weightcast.models.weights import open_model
from weightcast.registry import Kind, Spec, build
from weightcast.setup import Setup
from weightcast.tasks import TASKS, Split, Task

Grid = dict[str, dict[str, Any]]


class Facts(NamedTuple):
    """What a sweep must know of a model.

    Args:
        digest: SHA-256 of its file, hexadecimal.
        task: what accuracy means for it; None: nothing that is known.
    """

    digest: str
    task: Task | None


def facts_of(model: str) -> Facts:
    """Return the facts of a shipped model or a file."""
    with open_model(zoo.find(model)) as opened:
        return Facts(opened.digest(), task_of(opened))


class Sweep(BaseModel):
    """The contents of a sweep file; see the docstring of the module."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str | list[str]
    draws: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**64)
    task: str | Spec | None = None
    split: Split = "test"
    n_samples: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("n_samples", "n_images")
    )
    noisy: str | list[str] = "*"
    schemes: Grid = Field(min_length=1)
    decoders: Grid = {DEFAULT_DECODER: {}}
    channels: Grid = Field(min_length=1)

    def runs(self, facts_of: Callable[[str], Facts] = facts_of) -> list[Run]:
        """Return all runs, in the order of the file.

        Args:
            facts_of: returns what there is to know of a model.

        Raises:
            UnknownNameError, ParameterError: a model, scheme or channel that there cannot be.
        """
        facts = {model: facts_of(model) for model in _listed(self.model)}
        own = None if self.task is None else build(TASKS, self.task)
        return [
            Run(
                model=model,
                model_digest=facts[model].digest,
                setup=setup,
                noisy=noisy,
            )
            for model in facts
            for noisy in _listed(self.noisy)
            for setup in self._setups(own or facts[model].task)
        ]

    def _setups(self, task: Task | None) -> Iterator[Setup]:
        n_samples = self.n_samples
        if task is not None and n_samples is None:
            n_samples = task.size(self.split)
        for scheme, decoder, channel, draw in product(
            _grid(SCHEMES, self.schemes),
            _grid(DECODERS, self.decoders),
            _grid(CHANNELS, self.channels),
            range(self.draws),
        ):
            yield Setup(
                scheme=scheme,
                decoder=decoder,
                channel=channel,
                seed=self.seed,
                draw=draw,
                task=task,
                split=self.split,
                n_samples=n_samples,
            )


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        FormatError: it is not there, not TOML, or has fields that a sweep does not have.
    """
    try:
        return Sweep.model_validate(tomllib.loads(path.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the sweep '{path}': {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"'{path}' is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise FormatError(f"'{path}': {where}: {first['msg']}") from None


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _grid(kind: Kind[Any], axes: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    """Yield the things of a table of the file, with every combination of their params."""
    for name, params in axes.items():
        hints = get_type_hints(kind[name])
        values = [_axis(value, hints.get(key)) for key, value in params.items()]
        for combination in product(*values):
            yield build(kind, {"name": name} | dict(zip(params, combination, strict=True)))


def _axis(value: Any, hint: Any) -> list[Any]:
    """Return the values of a param; for one that is a list itself, an axis is a list of lists."""
    if get_origin(hint) is tuple:
        return value if value and all(isinstance(item, list) for item in value) else [value]
    return value if isinstance(value, list) else [value]
