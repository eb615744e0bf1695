"""The trained models that come with the project, each with its provenance card."""

import json
from pathlib import Path
from typing import Any

from weightcast.errors import UnknownNameError
from weightcast.models.files.sources import source_of
from weightcast.models.naming import shown
from weightcast.paths import expanded

_FOLDER = Path(__file__).with_name("checkpoints")
DEFAULT_MODEL = "resnet18-cifar10-l2"


def models() -> dict[str, Path]:
    """Return the shipped models: name and safetensors file."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.safetensors"))}


def card(name: str) -> dict[str, Any]:
    """Return the provenance of a shipped model."""
    found: dict[str, Any] = json.loads(find(name).with_suffix(".json").read_text())
    return found


def find(name: str) -> Path:
    """Return the file of a shipped model, or a path as it is: `source_of` says what it may be.

    Raises:
        UnknownNameError: neither a shipped model nor a path to anything.
        ParameterError: as for `paths.expanded`.
    """
    shipped = models()
    if name in shipped:
        return shipped[name]
    path = expanded(Path(name))
    try:
        is_there = bool(name) and path.exists()
    except OSError:  # `source_of` says why it cannot be looked at.
        is_there = True
    if is_there:
        return path
    known = ", ".join(shipped)
    raise UnknownNameError(
        f"no model {shown(name, 200)}: neither a file or folder nor one of the shipped: {known}"
    )


def digest(name: str) -> str:
    """Return the SHA-256 of a model, hexadecimal, see `Source.digest`; errors as for `find`."""
    return source_of(find(name)).digest()
