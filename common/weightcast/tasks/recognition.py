"""Which task a model file is for, from its metadata or its layout; without torch."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from weightcast.errors import ModelError
from weightcast.models.tensors import Tensor
from weightcast.models.wrappers import plain_names

KEY = "weightcast-task"
"""Of the metadata of a safetensors file; its value is the spec of a task as JSON."""

Spec = dict[str, Any]

LAYOUTS: dict[str, Spec] = {
    "7f3fc1ba9ecb16f0235511dab6d51ea0cffe3756e88dcbef2f9e77ab5b3a8eea": {"name": "cifar10"},
    "1af2942f618c6d506b3b85a77ba9b64c09546d0e755b8df4ad74d4ff310d5c46": {
        "name": "mnist",
        "model": "mlp",
    },
    "666d9a6b3fce9bc441db1fc4c22a3905971c274c13678c08744a16bcc3356c2a": {
        "name": "mnist",
        "model": "cnn",
    },
}
"""The tasks of the networks that come with weightcast, by `layout_digest`."""


def recognise(tensors: Iterable[Tensor], metadata: Mapping[str, str]) -> Spec | None:
    """Return the spec of the task of a model file, or None if nothing tells.

    Args:
        tensors: of the file.
        metadata: of the file; what they say goes before what the tensors look like.

    Raises:
        ModelError: the metadata have a task that is no spec.
    """
    if KEY in metadata:
        return _spec(metadata[KEY])
    return LAYOUTS.get(layout_digest(tensors))


def layout_digest(tensors: Iterable[Tensor]) -> str:
    """Return the SHA-256 of the names and shapes of all tensors but the scalars, sorted, as JSON.

    Types do not matter, nor what wrappers put before the names, nor scalars: the counters of batch
    norm are often left out, and an epoch or a loss put in.
    """
    shapes = {tensor.name: tensor.shape for tensor in tensors if tensor.shape}
    names = plain_names(shapes)
    lines = sorted([name, list(shapes[here])] for here, name in names.items())
    text = json.dumps(lines, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _spec(text: str) -> Spec:
    try:
        spec = json.loads(text)
    except (ValueError, RecursionError):
        spec = None
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise ModelError(f"the metadata '{KEY}' are not the JSON spec of a task: {text[:80]!r}")
    return spec
