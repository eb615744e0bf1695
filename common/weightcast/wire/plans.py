"""Plans on the wire: numbers in the header, arrays in the side information."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from weightcast.coding.scales import plan_type
from weightcast.errors import FormatError
from weightcast.models.tensors import Tensor
from weightcast.registry import assemble
from weightcast.setup import Setup
from weightcast.wire.header import ArrayEntry

Array = npt.NDArray[Any]
DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip
"""Types of a plan's arrays, as safetensors and as numpy write them."""
_NAMES = {np.dtype(written): name for name, written in DTYPES.items()}
_LAYOUT = "tensors"


def written(plan: Any) -> dict[str, int | float | ArrayEntry]:
    """Return a plan as a header writes it."""
    arrays = {array.name: array for array in _entries(arrays_of(plan))}
    return {
        name: (arrays[name].dtype, list(arrays[name].shape)) if name in arrays else value
        for name, value in _fields(plan).items()
    }


def arrays_of(plan: Any) -> dict[str, Array]:
    """Return the arrays of a plan, in the order of its fields."""
    return {name: v for name, v in _fields(plan).items() if isinstance(v, np.ndarray)}


def body_of(plan: Any) -> list[tuple[Tensor, bytes]]:
    """Return the arrays of a plan as tensors `plan/NAME`, with their little-endian bytes."""
    arrays = arrays_of(plan)
    return [
        (named(entry), arrays[entry.name].astype(DTYPES[entry.dtype]).tobytes())
        for entry in _entries(arrays)
    ]


def named(array: Tensor) -> Tensor:
    """Return the tensor of the side information that holds an array of the plan."""
    return Tensor(f"plan/{array.name}", array.dtype, array.shape)


def read(array: Tensor, raw: bytes) -> Array:
    """Return an array of the plan from its bytes.

    Raises:
        FormatError: a type that plans cannot have, or a number that is not finite.
    """
    if array.dtype not in DTYPES:
        raise FormatError(f"the plan's array '{array.name}' has the type {array.dtype}")
    values = np.frombuffer(raw, DTYPES[array.dtype]).reshape(array.shape)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise FormatError(f"the plan's array '{array.name}' has a number that is not finite")
    return values.astype(values.dtype.newbyteorder("="))


def assembled(
    setup: Setup,
    numbers: Mapping[str, int | float],
    arrays: Mapping[str, Array],
    tensors: Sequence[Tensor],
) -> Any:
    """Return the plan of a setup from its numbers, its arrays and the layout.

    Raises:
        ParameterError: not what the plan's type takes.
    """
    cls = plan_type(setup.scheme.plan_type, setup.decoder)
    has_layout = _LAYOUT in (field.name for field in dataclasses.fields(cls))
    layout = {_LAYOUT: tuple(tensors)} if has_layout else {}
    return assemble(cls, {**numbers, **arrays, **layout}, f"plan of '{setup.scheme.name}'")


def _fields(plan: Any) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(plan) if field.name != _LAYOUT)
    return {name: getattr(plan, name) for name in names}


def _entries(arrays: Mapping[str, Array]) -> list[Tensor]:
    for name, array in arrays.items():
        if array.dtype.newbyteorder("<") not in _NAMES:
            raise FormatError(f"the plan's array '{name}' has the type {array.dtype}")
    return [
        Tensor(name, _NAMES[array.dtype.newbyteorder("<")], array.shape)
        for name, array in arrays.items()
    ]
