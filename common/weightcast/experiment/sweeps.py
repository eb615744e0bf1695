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

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_origin, get_type_hints

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS, DEFAULT_DECODER
from weightcast.errors import FormatError, ParameterError, UnknownNameError
from weightcast.experiment.examiner import task_of
from weightcast.experiment.runs import Run
from weightcast.models import zoo
from weightcast.models.naming import shown
from weightcast.models.weights import open_model
from weightcast.paths import expanded
from weightcast.registry import Kind, Spec, build
from weightcast.setup import Setup
from weightcast.tasks import TASKS, Split, Task

Grid = dict[str, dict[str, Any]]
Texts = str | Annotated[list[str], Field(min_length=1)]

MOST_RUNS = 1_000_000
TABLES: dict[str, Kind[Any]] = {"schemes": SCHEMES, "decoders": DECODERS, "channels": CHANNELS}


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

    model: Texts
    draws: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**64)
    task: str | Spec | None = None
    split: Split = "test"
    n_samples: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("n_samples", "n_images")
    )
    noisy: Texts = "*"
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
        n_runs = self.draws * len(_listed(self.model)) * len(_listed(self.noisy))
        for _, kind, axes in self.tables():
            n_runs *= sum(1 for _ in _grid(kind, axes))
        if n_runs > MOST_RUNS:
            raise ParameterError(f"a sweep has at most {MOST_RUNS:,} runs, got {n_runs:,}")
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

    def tables(self) -> list[tuple[str, Kind[Any], Grid]]:
        """Return the tables of things and their params by name."""
        return [(name, kind, getattr(self, name)) for name, kind in TABLES.items()]

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
        UnknownNameError, ParameterError: a scheme, decoder or channel that there cannot be.
    """
    path = expanded(path)
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the sweep '{path}': {error}") from None
    try:
        sweep = Sweep.model_validate(tomllib.loads(text))
    except ValidationError as error:
        keys, said = _first(error)
        raise FormatError(f"{where(path, text, keys)}: {said}") from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"'{path}' is not TOML: {error}") from None
    for table, kind, axes in sweep.tables():
        for name, params in axes.items():
            try:
                list(_grid(kind, {name: params}))
            except (ParameterError, UnknownNameError) as error:
                keys = [table, name, *[key for key in params if f"'{key}'" in str(error)][:1]]
                raise type(error)(f"{where(path, text, keys)}: {error}") from None
    return sweep


def where(path: Path, text: str, keys: Sequence[str]) -> str:
    """Return the file and, if it is found, the line in which a key of TOML or its table stands."""
    table: tuple[str, ...] = ()
    lines: dict[tuple[str, ...], int] = {}
    for n, line in enumerate(text.splitlines(), 1):
        is_table = line.lstrip().startswith("[")
        try:
            found = tomllib.loads(line if is_table else f"{line.partition('=')[0]}=0")
        except (ValueError, RecursionError):
            continue
        names = _names(found)
        table = names if is_table else table
        lines.setdefault(names if is_table else table + names, n)
    for length in range(len(keys), 0, -1):
        if tuple(keys[:length]) in lines:
            return f"'{path}', line {lines[tuple(keys[:length])]}"
    return f"'{path}'"


def _names(found: Any) -> tuple[str, ...]:
    """Return the names of the only key in each of the tables that lie in each other."""
    names = []
    while found and isinstance(found, dict):
        name, found = next(iter(found.items()))
        names.append(name)
        found = found[0] if isinstance(found, list) else found
    return tuple(names)


def _first(error: ValidationError) -> tuple[list[str], str]:
    """Return the keys that the first error is about, and what it is."""
    errors = error.errors(include_url=False)
    # Of a field that may be a text or a list, or a table, the last error is about the latter.
    found = [one for one in errors if one["loc"][0] == errors[0]["loc"][0]][-1]
    key = str(found["loc"][0])
    keys = [key, *[str(step) for step in found["loc"][1:] if key in TABLES]]
    if found["type"] == "extra_forbidden":
        known = ", ".join(Sweep.model_fields)
        return keys, f"no key {shown(key)} in a sweep; known: {known}"
    if found["type"] == "missing":
        return keys, f"a sweep needs '{key}'"
    said = found["msg"].replace("Input should", "must")
    value = shown(repr(found["input"]))[1:-1]
    return keys, f"'{'.'.join(keys)}' {said[:1].lower()}{said[1:]}, got {value}"


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _grid(kind: Kind[Any], axes: Mapping[str, Mapping[str, Any]]) -> Iterator[Any]:
    """Yield the things of a table of the file, with every combination of their params."""
    for name, params in axes.items():
        hints = get_type_hints(kind[name])
        values = [_axis(value, hints.get(key)) for key, value in params.items()]
        n = math.prod(len(axis) for axis in values)
        if not 1 <= n <= MOST_RUNS:
            raise ParameterError(
                f"the params of {kind.noun} '{name}' may have 1 .. {MOST_RUNS:,} combinations,"
                f" got {n:,}"
            )
        for combination in product(*values):
            yield build(kind, {"name": name} | dict(zip(params, combination, strict=True)))


def _axis(value: Any, hint: Any) -> list[Any]:
    """Return the values of a param; for one that is a list itself, an axis is a list of lists."""
    if get_origin(hint) is tuple:
        return value if value and all(isinstance(item, list) for item in value) else [value]
    return value if isinstance(value, list) else [value]
