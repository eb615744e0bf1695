"""The safetensors layout, read and written by hand so that a file need not fit in memory.

A file is 8 bytes of length (little-endian), that many bytes of JSON, then the tensors without gaps.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from weightcast.errors import FormatError

MAX_INDEX_BYTES = 100_000_000
"""The cap of the safetensors library itself."""

ITEM_BYTES: Mapping[str, int] = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2,
    "U16": 2, "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """Name, type and shape of one tensor.

    Args:
        name: as in the state_dict.
        dtype: as safetensors writes it, `F32` for example.
        shape: dimensions, each at least 0; () is a scalar.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def n_values(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """Number of bytes."""
        return self.n_values * ITEM_BYTES[self.dtype]


def write_index(tensors: Iterable[Tensor]) -> bytes:
    """Return the length and the JSON that stand before the tensors, padded to 8 bytes."""
    index: dict[str, Any] = {}
    at = 0
    for tensor in tensors:
        index[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.n_bytes],
        }
        at += tensor.n_bytes
    text = json.dumps(index, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_index(file: BinaryIO, n_bytes: int) -> dict[Tensor, int]:
    """Read and check the index of a safetensors file.

    Args:
        file: open at its start.
        n_bytes: size of the whole file.

    Returns:
        The tensors in the order of their bytes, each with the offset of its first byte.

    Raises:
        FormatError: the index is broken, or does not describe exactly the bytes that follow.
    """
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(MAX_INDEX_BYTES, n_bytes - 8):
        raise FormatError("its first 8 bytes are not the length of an index")
    try:
        index = json.loads(file.read(length), object_pairs_hook=_without_doubles)
    except FormatError:
        raise
    except (ValueError, RecursionError):  # A number of more than 4,300 digits is a ValueError too.
        raise FormatError("its index is not JSON") from None
    if not isinstance(index, dict):
        raise FormatError("its index is not a JSON object")
    index.pop("__metadata__", None)
    entries = sorted(
        (_entry(name, fields) for name, fields in index.items()), key=lambda e: (e[1], e[2])
    )
    at = 0
    for tensor, start, stop in entries:
        if start != at or stop - start != tensor.n_bytes:
            raise FormatError(f"the bytes of tensor '{tensor.name}' overlap, have a gap or differ")
        at = stop
    if 8 + length + at != n_bytes:
        raise FormatError(f"it has {n_bytes} bytes, its index describes {8 + length + at}")
    return {tensor: 8 + length + start for tensor, start, _ in entries}


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise FormatError("its index has a name twice")
    return fields


def _entry(name: str, fields: Any) -> tuple[Tensor, int, int]:
    match fields:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
            if dtype not in ITEM_BYTES:
                raise FormatError(f"tensor '{name}' has the type '{dtype}', which is not known")
            if all(type(n) is int and n >= 0 for n in shape) and 0 <= start <= stop:
                return Tensor(name, dtype, tuple(shape)), start, stop
    raise FormatError(f"the entry of tensor '{name}' is not as it should be")
