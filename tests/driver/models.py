"""Models of random weights, and what a sender makes of one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from weightcast.models.weights import open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import Setup
from weightcast.wire.header import Header
from weightcast.wire.side import SideWriter
from weightcast.wire.symbols import cut_into_parts
from weightcast.wire.transmission import announce

N_WEIGHTS = 2_300_000
"""Of the usual test model: three parts, the last one short."""

ModelOf = Callable[[int], Path]
"""A call that writes a model of so many weights: the fixture `model_of`."""


def write_model(path: Path, n_weights: int = N_WEIGHTS, seed: int = 1) -> Path:
    """Write a model of weights in two tensors, a carried bias and a carried counter."""
    values = np.random.Generator(np.random.Philox(seed)).standard_normal(n_weights, np.float32)
    split = n_weights // 3
    tensors: dict[str, npt.NDArray[Any]] = {
        "layer.weight": values[:split].reshape(1, -1),
        "head.weight": values[split:].reshape(-1, 1),
        "layer.bias": np.linspace(-1, 1, 17, dtype=np.float32),
        "count": np.array(3, np.int64),
    }
    save_file({name: tensor for name, tensor in tensors.items() if tensor.size}, path)
    return path


class Encoded(NamedTuple):
    """A transmission as bytes."""

    header: Header
    parts: list[bytes]
    side: bytes


def encoded(
    path: Path,
    scheme: str = "unprotected",
    channel: str = "awgn",
    seed: int = 5,
    **channel_params: float,
) -> Encoded:
    """Do what a sender does, without sending."""
    params = channel_params or ({"std": 0.3} if channel == "awgn" else {})
    setup = Setup.from_spec({"scheme": scheme, "channel": {"name": channel} | params, "seed": seed})
    with open_model(path) as model, SideWriter(setup.scheme.side_names) as side:
        plan = plan_for(model, setup, model.layout.weights)
        header = announce(path.name, model.layout, setup, plan)
        symbols = []
        for _, _, sent in encode(model, setup.scheme, plan):
            side.add(sent.side)
            symbols.append(sent.symbols)
        body = path.with_suffix(f".{os.getpid()}.side")
        with body.open("wb") as file:
            side.write(file, model, plan)
    parts = [part.tobytes() for part in cut_into_parts(symbols)]
    made = Encoded(header, parts, body.read_bytes())
    body.unlink()
    return made


def changed_setup(header: Header, **changes: Any) -> Header:
    """Return a header whose setup has other fields."""
    return header.model_copy(update={"setup": header.setup | changes})
