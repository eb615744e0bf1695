"""The safetensors layout, read and written by hand so that a file need not fit in memory.

A file is 8 bytes of length (little-endian), that many bytes of JSON, then the tensors without gaps.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, BinaryIO

from weightcast.errors import FormatError
from weightcast.models.naming import shown

MAX_INDEX_BYTES = 100_000_000
"""The cap of the safetensors library itself."""

METADATA = "__metadata__"
"""The one name in an index that is not a tensor's."""

MAX_DIMENSIONS = 64
"""Dimensions of a tensor: what numpy 2 and torch can hold."""

ITEM_BITS: Mapping[str, int] = {
    "C64": 64, "F64": 64, "I64": 64, "U64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16,
    "BF16": 16, "I16": 16, "U16": 16, "I8": 8, "U8": 8, "BOOL": 8, "F8_E4M3": 8, "F8_E5M2": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F8_E8M0": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip
"""Bits per value of every type of safetensors 0.8 (`Dtype` in its tensor.rs)."""

ITEM_BYTES: Mapping[str, int] = {dtype: bits // 8 for dtype, bits in ITEM_BITS.items() if bits >= 8}
"""Bytes per value of the types that have whole bytes."""


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
        return self.n_values * ITEM_BITS[self.dtype] // 8

    def place(self, index: int) -> tuple[int, ...]:
        """Return the index in each dimension of the value that is the ``index``-th in the file."""
        steps = []
        for n in reversed(self.shape):
            index, step = divmod(index, n)
            steps.append(step)
        return tuple(reversed(steps))


def check_type(tensor: Tensor) -> None:
    """Refuse a tensor whose number of bytes does not follow from its type and shape.

    Raises:
        FormatError: the type is not known, or its values do not fill whole bytes.
    """
    name, bits = shown(tensor.name), ITEM_BITS.get(tensor.dtype)
    if bits is None:
        known = ", ".join(sorted(ITEM_BITS))
        kind = shown(tensor.dtype)
        raise FormatError(f"tensor {name} has the type {kind}, which is not known; known: {known}")
    if tensor.n_values * bits % 8:
        raise FormatError(
            f"tensor {name} has {tensor.n_values} values of {bits} bits ({tensor.dtype}), which do"
            " not fill whole bytes"
        )


def write_index(
    tensors: Iterable[Tensor], metadata: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """Return the length and the JSON that stand before the tensors, padded to 8 bytes."""
    index: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
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
    """Return what `read_head` returns, without the metadata."""
    return read_head(file, n_bytes)[0]


def read_head(file: BinaryIO, n_bytes: int) -> tuple[dict[Tensor, int], dict[str, str]]:
    """Read and check the index of a safetensors file.

    Args:
        file: open at its start.
        n_bytes: size of the whole file.

    Returns:
        The tensors in the order of their bytes, each with the offset of its first byte, and the
        metadata.

    Raises:
        FormatError: the index is broken, or does not describe exactly the bytes that follow.
    """
    prefix = file.read(8)
    length = int.from_bytes(prefix, "little")
    if len(prefix) < 8 or length > min(MAX_INDEX_BYTES, n_bytes - 8):
        raise FormatError("its first 8 bytes are not the length of an index")
    index = read_object(file.read(length), "its index")
    metadata = index.pop(METADATA, None) or {}
    if not isinstance(metadata, dict) or any(type(v) is not str for v in metadata.values()):
        raise FormatError("its metadata are not names and texts")
    entries = sorted(
        (_entry(name, fields) for name, fields in index.items()), key=lambda e: (e[1], e[2])
    )
    at = 0
    for tensor, start, stop in entries:
        if start != at or stop - start != tensor.n_bytes:
            name = shown(tensor.name)
            raise FormatError(f"the bytes of tensor {name} overlap, have a gap or differ")
        at = stop
    if 8 + length + at != n_bytes:
        raise FormatError(f"it has {n_bytes} bytes, its index describes {8 + length + at}")
    return {tensor: 8 + length + start for tensor, start, _ in entries}, metadata


def read_object(text: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object in which no name stands twice; a `FormatError` begins with ``what``."""

    def without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise FormatError(f"{what} has a name twice")
        return fields

    try:
        found = json.loads(text, object_pairs_hook=without_doubles)
    except FormatError:
        raise
    except (ValueError, RecursionError):  # A number of more than 4,300 digits is a ValueError too.
        raise FormatError(f"{what} is not JSON") from None
    if not isinstance(found, dict):
        raise FormatError(f"{what} is not a JSON object")
    return found


def _entry(name: str, fields: Any) -> tuple[Tensor, int, int]:
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        raise FormatError(f"the name of tensor {shown(name)} is not Unicode text")
    match fields:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(stop)]}:
            fits = len(shape) <= MAX_DIMENSIONS and all(type(n) is int and n >= 0 for n in shape)
            if fits and 0 <= start <= stop:
                tensor = Tensor(name, dtype, tuple(shape))
                check_type(tensor)
                return tensor, start, stop
    raise FormatError(f"the entry of tensor {shown(name)} is not as it should be")
