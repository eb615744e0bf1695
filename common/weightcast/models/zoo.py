"""The trained models that come with the project, each with its provenance card."""

import hashlib
import json
from pathlib import Path
from typing import Any

from weightcast.errors import UnknownNameError

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
    """Return the file of a shipped model, or of a model given as a path.

    Raises:
        UnknownNameError: neither a shipped model nor a file.
    """
    shipped = models()
    if name in shipped:
        return shipped[name]
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(shipped)
    raise UnknownNameError(f"no model '{name}': neither a file nor one of the shipped: {known}")


def digest(name: str) -> str:
    """Return the SHA-256 of a model's file, hexadecimal; errors as for `find`."""
    with find(name).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
