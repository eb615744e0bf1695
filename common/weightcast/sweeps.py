"""Sweeps: a grid of runs as TOML, one line of JSON per run.

::

    model = ["resnet18-cifar10-l2"]        # shipped models or safetensors files
    draws = 10                             # streams of noise: 0 .. draws - 1
    seed = 0
    split = "test"                         # or "validation", to choose params on
    n_images = 10000
    noisy = ["*", "!layer4.*"]             # tensors on which noise is let through

    [schemes.unprotected]                  # every scheme with every combination of its params
    [schemes.adaptive-redundancy]
    n_large = [1000, 6998]

    [channels.awgn]                        # likewise
    std = [0.01, 0.1]
"""

import fcntl
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from weightcast.channels import CHANNELS, Channel
from weightcast.coding import SCHEMES, Scheme
from weightcast.errors import FormatError, ParameterError
from weightcast.randomness import Noise
from weightcast.registry import build

Number = int | float
Params = dict[str, Number | None]
Axis = Number | list[Number]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One row of results before it is run: everything that decides its numbers.

    Args:
        model: name of a shipped model, or a file.
        model_digest: SHA-256 of its file, hexadecimal: another file is another run.
        scheme, params, channel, channel_params: as in the registries.
        seed, stream: of the noise.
        split: `test` or `validation`.
        n_images: first images of the split.
        noisy: pattern of the tensors on which noise is let through, see `is_noisy`.
    """

    model: str
    model_digest: str
    scheme: str
    params: Params
    channel: str
    channel_params: Params
    seed: int
    stream: int
    split: str
    n_images: int
    noisy: str = "*"

    def build_scheme(self) -> Scheme[Any]:
        """Build the scheme."""
        return build(SCHEMES, self.scheme, self.params, "scheme")

    def build_channel(self) -> Channel:
        """Build the channel."""
        return build(CHANNELS, self.channel, self.channel_params, "channel")

    @property
    def noise(self) -> Noise:
        """The noise of this run."""
        return Noise(seed=self.seed, stream=self.stream)

    def is_noisy(self, tensor: str) -> bool:
        """Return whether noise is let through on a tensor of this name.

        `*`, `?` and `[...]` stand for what they do in a shell; `!` in front turns the answer.
        """
        pattern = self.noisy.removeprefix("!")
        return fnmatchcase(tensor, pattern) == (pattern == self.noisy)

    @property
    def key(self) -> str:
        """What tells this run from all others."""
        return json.dumps(asdict(self), sort_keys=True)


class Sweep(BaseModel):
    """The contents of a sweep file; see the docstring of the module."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str | list[str]
    draws: int = Field(default=1, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**64)
    split: Literal["test", "validation"] = "test"
    n_images: int | None = Field(default=None, ge=1)
    noisy: str | list[str] = "*"
    schemes: dict[str, dict[str, Axis]] = Field(min_length=1)
    channels: dict[str, dict[str, Axis]] = Field(min_length=1)

    def runs(self, digest_of: Callable[[str], str]) -> list[Run]:
        """Return all runs, in the order of the file.

        Args:
            digest_of: returns the SHA-256 of a model's file by the model's name.

        Raises:
            UnknownNameError, ParameterError: a model, scheme or channel that there cannot be.
        """
        sizes = {"test": 10_000, "validation": 5_000}
        n_images = self.n_images or sizes[self.split]
        if n_images > sizes[self.split]:
            raise ParameterError(
                f"n_images must be at most {sizes[self.split]} for {self.split}, got {n_images}"
            )
        models = _listed(self.model)
        digests = {model: digest_of(model) for model in models}
        runs = [
            Run(
                model=model,
                model_digest=digests[model],
                scheme=scheme,
                params=params,
                channel=channel,
                channel_params=channel_params,
                seed=self.seed,
                stream=stream,
                split=self.split,
                n_images=n_images,
                noisy=noisy,
            )
            for model in models
            for noisy in _listed(self.noisy)
            for scheme, params in _grid(self.schemes)
            for channel, channel_params in _grid(self.channels)
            for stream in range(self.draws)
        ]
        for run in runs:
            run.build_scheme()
            run.build_channel()
        return runs


def read_sweep(path: Path) -> Sweep:
    """Read a sweep file.

    Raises:
        FormatError: it is not there, not TOML, or has fields that a sweep does not have.
    """
    try:
        return Sweep.model_validate(tomllib.loads(path.read_text()))
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"cannot read the sweep '{path}': {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"'{path}' is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise FormatError(f"'{path}': {where}: {first['msg']}") from None


class Results:
    """A file with one line of JSON per run that is done; a run that is there is not done again.

    Several processes may add to one file and sort it.

    Args:
        path: of the file; a last line that a kill has torn is dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            with _locked(path, "r"):
                self._read()

    def __contains__(self, run: Run) -> bool:
        """Return whether the run is done."""
        return run.key in self._rows

    def __getitem__(self, run: Run) -> dict[str, Any]:
        """Return the row of a run."""
        return self._rows[run.key]

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows, in the order of the file."""
        return list(self._rows.values())

    def add(self, run: Run, result: Mapping[str, Any]) -> None:
        """Append the result of a run, durably."""
        row = asdict(run) | dict(result)
        self._rows[run.key] = row
        with _locked(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def sort(self, runs: Iterable[Run]) -> None:
        """Rewrite the file in the order of the runs, with rows of other runs after them."""
        order = {run.key: i for i, run in enumerate(runs)}
        with _locked(self.path, "a"):
            self._read()
            keys = sorted(self._rows, key=lambda key: order.get(key, len(order)))
            temporary = self.path.with_suffix(".new")
            temporary.write_text("".join(json.dumps(self._rows[key]) + "\n" for key in keys))
            temporary.replace(self.path)

    def _read(self) -> None:
        for row in _whole_lines(self.path):
            self._rows[_run_of(row).key] = row


@contextmanager
def _locked(path: Path, mode: str) -> Iterator[IO[str]]:
    """Open a file, or what has replaced it meanwhile, while no other process writes it."""
    while True:
        with path.open(mode) as file:
            fcntl.flock(file, fcntl.LOCK_SH if mode == "r" else fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file and cut off what stands behind the last line end."""
    text = path.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        os.truncate(path, whole)
    for n, line in enumerate(text[:whole].splitlines(), 1):
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            raise FormatError(f"'{path}': line {n} is not JSON") from None


def _run_of(row: Mapping[str, Any]) -> Run:
    # Rows from before `noisy` was there are read, too.
    return Run(**{name: row[name] for name in Run.__slots__ if name in row})


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _grid(axes: Mapping[str, Mapping[str, Axis]]) -> Iterator[tuple[str, Params]]:
    for name, params in axes.items():
        values = [value if isinstance(value, list) else [value] for value in params.values()]
        for combination in product(*values):
            yield name, dict(zip(params, combination, strict=True))
