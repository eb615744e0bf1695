"""A training on disk: one safetensors file, replaced as a whole after each epoch; never pickle."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from weightcast.errors import ModelError

_KEY = "weightcast-training"


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors, and facts as JSON in the header, so that a crash leaves the old or the new."""
    plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    metadata = {_KEY: json.dumps(facts)}
    replace(path, lambda new: save_file(plain, new, metadata))


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and facts that `save` wrote.

    Raises:
        ModelError: the file is not a checkpoint of a training.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})[_KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelError(f"'{path}' is not a checkpoint of a training: {error}") from None


def save_model(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a state_dict as a model file, whole or not at all."""
    plain = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    replace(path, lambda new: save_file(plain, new, dict(metadata) if metadata else None))


def shipped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round a state_dict to the types of a model file.

    Tensors with two or more dimensions become bfloat16, other fractional ones float32; counters
    stay.
    """
    return {
        name: (tensor.to(torch.bfloat16 if tensor.ndim >= 2 else torch.float32))
        if tensor.is_floating_point()
        else tensor
        for name, tensor in tensors.items()
    }


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let a function write a new file, make it durable, and put it in the place of the old one."""
    new = path.with_name(f"{path.name}.new")
    write(new)
    _sync(new)
    new.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
