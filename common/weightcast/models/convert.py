"""Files of `torch.save` made into safetensors files, without running anything that is in them."""

import re
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from weightcast.errors import ModelError, ParameterError
from weightcast.models.files.saving import SUFFIX, check_out, new_file
from weightcast.models.naming import shown
from weightcast.models.tensors import Tensor, write_index

if TYPE_CHECKING:
    import torch

WRAPPING = ("state_dict", "model_state_dict", "model", "net", "params")
"""Keys under which training scripts, Lightning, timm and BasicSR keep the tensors."""

_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "uint64": "U64", "int32": "I32", "uint32": "U32", "int16": "I16", "uint16": "U16",
    "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0", "float4_e2m1fn_x2": "F4",
}  # fmt: skip
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of a file.

    Args:
        n_tensors, n_bytes: what was written.
        key: under which the tensors were; '' is at the top.
        dropped: what was left out, sorted: names of entries that are not tensors.
    """

    n_tensors: int
    n_bytes: int
    key: str
    dropped: tuple[str, ...]


def convert(source: Path, out: Path, *, replace: bool = False) -> Converted:
    """Write the tensors of a file of `torch.save` as safetensors, whole or not at all.

    Names stay as they are, with all prefixes. Every tensor is written by itself, so those that
    shared memory, or were views of others, do so no more.

    Args:
        source: a state_dict, or a dict that holds one under a key of `WRAPPING`.
        out: the file to write.
        replace: whether a file that is there goes.

    Raises:
        ModelError: it is not a file of `torch.save`, wants to run code, or has no tensors.
        ParameterError: ``out`` is there already, or does not end with `.safetensors`.
    """
    if out.suffix != SUFFIX:
        raise ParameterError(f"the file to write must end with {SUFFIX}, got '{out}'")
    check_out(out, replace=replace)
    loaded = _load(source)
    key, found = _state_dict(source, loaded)
    tensors = {name: value for name, value in found.items() if _is_tensor(value)}
    others = {f"{key}.{name}" if key else str(name) for name in found if name not in tensors}
    if key:
        others |= {str(name) for name in loaded if name != key}
    entries = [(_entry(source, str(name), value), value) for name, value in tensors.items()]
    with new_file(out, replace=replace) as file:
        # Wider types stand first, so that every tensor is aligned.
        entries.sort(key=lambda entry: (-entry[1].element_size(), entry[0].name))
        # Hugging Face's libraries open a file only if it says whose tensors it holds.
        file.write(write_index((tensor for tensor, _ in entries), {"format": "pt"}))
        for _, value in entries:
            _write(file, value)
    n_bytes = sum(tensor.n_bytes for tensor, _ in entries)
    return Converted(len(entries), n_bytes, key, tuple(sorted(others)))


def _load(source: Path) -> Any:
    import torch

    # What `torch.load` raises for bytes that are not its own; the pickle module itself stays out.
    broken = (
        torch.serialization.pickle.UnpicklingError,  # type: ignore[attr-defined]
        RuntimeError, ValueError, LookupError, TypeError, AttributeError, EOFError,
        AssertionError, ArithmeticError, struct.error,
    )  # fmt: skip
    try:
        with source.open("rb") as file:
            is_zip = file.read(4) == b"PK\x03\x04"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # On old pickles and TorchScript: the error says it.
            return torch.load(str(source), map_location="cpu", weights_only=True, mmap=is_zip)
    except OSError as error:
        raise ModelError(f"cannot read '{source}': {error.strerror or error}") from None
    except broken as error:
        raise ModelError(f"'{source}' cannot be converted: {_reason(str(error))}") from None


def _reason(message: str) -> str:
    if "TorchScript" in message:
        return "it is TorchScript, which holds code; save the state_dict() of the module instead"
    call = re.search(r"GLOBAL (\S+)", message)
    if call:
        return (
            f"it holds more than tensors, opening it would call '{call[1]}'; save the model's"
            " state_dict() instead"
        )
    return "it is not a whole file of torch.save that holds tensors only"


def _state_dict(source: Path, loaded: Any) -> tuple[str, Mapping[Any, Any]]:
    """Return the key, '' for none, and the dict that holds the tensors."""
    if not isinstance(loaded, Mapping):
        kind = type(loaded).__name__
        raise ModelError(f"'{source}' holds a {kind}, not a state_dict with names and tensors")
    if any(map(_is_tensor, loaded.values())):
        return "", loaded
    for key in WRAPPING:
        inner = loaded.get(key)
        if isinstance(inner, Mapping) and any(map(_is_tensor, inner.values())):
            return key, inner
    keys = ", ".join(shown(str(key)) for key in list(loaded)[:5]) or "nothing"
    known = ", ".join(WRAPPING)
    raise ModelError(f"'{source}' has no tensors at the top nor under {known}; it has {keys}")


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _entry(source: Path, name: str, value: "torch.Tensor") -> Tensor:
    kind = str(value.dtype).removeprefix("torch.")
    layout = str(value.layout).removeprefix("torch.")
    if kind not in _DTYPES or layout != "strided" or value.is_quantized or value.is_meta:
        what = kind if kind not in _DTYPES else f"{layout} on {value.device}"
        raise ModelError(
            f"'{source}': tensor {shown(name)} is {what}, which safetensors cannot hold"
        )
    shape = tuple(value.shape)
    if kind == "float4_e2m1fn_x2":  # Two values in each element.
        shape = (*shape[:-1], 2 * shape[-1])
    return Tensor(name, _DTYPES[kind], shape)


def _write(file: BinaryIO, value: "torch.Tensor") -> None:
    for raw in _pieces(value):
        file.write(raw.tobytes())


def _pieces(value: "torch.Tensor") -> Iterator[np.ndarray[Any, Any]]:
    import torch

    flat = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    raw = flat.view(torch.uint8) if flat.numel() else flat.new_empty(0, dtype=torch.uint8)
    for at in range(0, len(raw), _PIECE):
        yield raw[at : at + _PIECE].numpy()
