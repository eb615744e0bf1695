"""Architectures that can be evaluated, recognised by the names and shapes of their tensors."""

import hashlib
import importlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from weightcast.errors import ModelError
from weightcast.models.weights import Layout


@dataclass(frozen=True, slots=True)
class Architecture:
    """Where a model class is, and what its state_dict looks like.

    Args:
        module: to import; only then is torch needed.
        class_name: a `torch.nn.Module` without arguments.
        tensors_digest: see the function of that name.
    """

    module: str
    class_name: str
    tensors_digest: str


ARCHITECTURES: dict[str, Architecture] = {
    "resnet18-cifar10": Architecture(
        "weightcast.learning.resnet",
        "ResNet18",
        "646ba6c414a695fb10a29d6dbea459f345b719b6e5e853a1b18d67c9fc23a5d0",
    ),
}


def tensors_digest(shapes: Iterable[tuple[str, Sequence[int]]]) -> str:
    """Return the SHA-256 of all tensor names and shapes, sorted, as JSON; types do not matter."""
    text = json.dumps(sorted([name, list(shape)] for name, shape in shapes), separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def recognise(shapes: Iterable[tuple[str, Sequence[int]]]) -> str | None:
    """Return the name of the architecture with exactly these tensors, or None."""
    digest = tensors_digest(shapes)
    for name, architecture in ARCHITECTURES.items():
        if architecture.tensors_digest == digest:
            return name
    return None


def architecture_of(layout: Layout) -> str:
    """Return the name of the architecture with this layout.

    Raises:
        ModelError: it is not known, so that its accuracy cannot be found.
    """
    name = recognise((t.name, t.shape) for t in (*layout.weights, *layout.carried))
    if name is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(
            f"no evaluation is known for this model's layout; known: {known};"
            " without evaluation (--no-evaluate) any model can be sent"
        )
    return name


def build(name: str) -> Any:
    """Return a new model (`torch.nn.Module`) of a known architecture."""
    architecture = ARCHITECTURES[name]
    return getattr(importlib.import_module(architecture.module), architecture.class_name)()
