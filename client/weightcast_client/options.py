"""Options that several commands share, and what they stand for."""

from pathlib import Path
from typing import Annotated, Any

import typer

import weightcast
from weightcast import plugins
from weightcast.channels.specs import with_std
from weightcast.errors import ParameterError
from weightcast.measure.units import std_from_peak_snr_db
from weightcast.paths import expanded
from weightcast.registry import Spec
from weightcast.setup import KINDS
from weightcast_client.settings import Settings

PluginFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", help="A Python file with schemes, decoders, channels or tasks; repeatable."
    ),
]


def with_home(path: Path | None) -> Path | None:
    """Return the value of an option with the home folder for `~`, which shells leave behind `=`."""
    return None if path is None else expanded(path)


def load_plugins(files: list[Path] | None) -> None:
    """Load the plug-ins of the command line and those of the settings."""
    for file in (*Settings().plugins, *(files or [])):
        plugins.load(file, KINDS)


def show_version(is_wanted: bool) -> None:
    """Print the version and end, if that is wanted."""
    if is_wanted:
        typer.echo(f"weightcast {weightcast.__version__}")
        raise typer.Exit


def std_of(std: float | None, snr_db: float | None) -> float | None:
    """Return the std of the noise from either option.

    Raises:
        ParameterError: both were given.
    """
    if std is not None and snr_db is not None:
        raise ParameterError("--std and --snr-db say the same thing: give one of them")
    return std if snr_db is None else std_from_peak_snr_db(snr_db)


def setup_spec(
    *,
    scheme: tuple[str, list[str] | None],
    decoder: tuple[str, list[str] | None],
    channel: tuple[str, list[str] | None],
    task: tuple[str | None, list[str] | None] | None,
    std: float | None,
    **rest: Any,
) -> Spec:
    """Return the setup in words: names with their `key=value` options.

    Args:
        scheme, decoder, channel: name and options.
        task: likewise; no name: what the model is recognised as; None: no accuracy.
        std: of the noise.
        rest: of the setup's fields.
    """
    spec: Spec = {"scheme": _named(*scheme), "decoder": _named(*decoder)} | rest
    spec |= with_std({"channel": _named(*channel)}, std)
    if task is None:
        return spec | {"task": None}
    name, texts = task
    if name is None and texts:
        raise ParameterError("--task-set needs --task")
    return spec if name is None else spec | {"task": _named(name, texts)}


def pairs(texts: list[str] | None) -> dict[str, str]:
    """Split texts like `std=0.1` into keys and values.

    Raises:
        ParameterError: no equals sign, nothing before it, or a key twice.
    """
    found: dict[str, str] = {}
    for text in texts or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ParameterError(f"expected key=value, got '{text}'")
        if key in found:
            raise ParameterError(f"'{key}' is given twice: {found[key]} and {value}")
        found[key] = value
    return found


def _named(name: str, texts: list[str] | None) -> Spec:
    return {"name": name} | pairs(texts)
