"""Where a model lies: one safetensors file, or several with an index; nothing is opened here."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weightcast.errors import FormatError, ModelError
from weightcast.models.naming import shown, some
from weightcast.models.tensors import MAX_INDEX_BYTES, read_object

INDEX_SUFFIX = ".safetensors.index.json"
INDEX_NAME = f"model{INDEX_SUFFIX}"
SINGLE_NAME = "model.safetensors"


@dataclass(frozen=True, slots=True)
class Source:
    """The files of a model.

    Args:
        path: as the user gave it.
        files: each shard's path by its name, sorted; one file if the model is not sharded.
        index: the index of the shards; None: one file.
        shard_of: the shard of each tensor, as the index has it; empty without one.
    """

    path: Path
    files: Mapping[str, Path]
    index: Path | None
    shard_of: Mapping[str, str]

    def digest(self) -> str:
        """Return the SHA-256, hexadecimal, of the file, or of the list of shards.

        That list is the JSON [[name, SHA-256], ...], sorted, without spaces, in UTF-8.
        """
        found = [[name, _digest(path)] for name, path in self.files.items()]
        if self.index is None:
            return found[0][1]
        text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def source_of(path: Path) -> Source:
    """Find the files of a model.

    Args:
        path: a safetensors file, an index of shards (`*.safetensors.index.json`), or a folder with
            one index or one safetensors file.

    Raises:
        ModelError: there is nothing of the kind, or more than one.
    """
    try:
        path.stat()
    except (OSError, ValueError) as error:  # A path with a zero byte is a ValueError.
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelError(f"cannot read the model '{path}': {reason}") from None
    file = _in_folder(path) if path.is_dir() else path
    if not file.is_file():
        raise ModelError(f"cannot read the model '{path}': it is neither a file nor a folder")
    if file.name.endswith(INDEX_SUFFIX):
        return _sharded(path, file)
    return Source(path, {file.name: file}, None, {})


def _in_folder(folder: Path) -> Path:
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise ModelError(f"cannot read the model '{folder}': {error.strerror}") from None
    indices = [name for name in names if name.endswith(INDEX_SUFFIX)]
    files = [name for name in names if name.endswith(".safetensors")]
    found = indices or files
    if len(found) == 1 and not (indices and SINGLE_NAME in files):
        return folder / found[0]
    if SINGLE_NAME in files and not indices:
        return folder / SINGLE_NAME
    if found:
        choice = some([shown(name) for name in dict.fromkeys((*indices, *files))])
        raise ModelError(f"the folder '{folder}' holds more than one model; name one: {choice}")
    pickles = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".ckpt"))]
    advice = f"; `client convert` makes one of {some([shown(n) for n in pickles])}"
    raise ModelError(f"the folder '{folder}' has no safetensors file{advice if pickles else ''}")


def _sharded(path: Path, index: Path) -> Source:
    try:
        with index.open("rb") as opened:
            text = opened.read(MAX_INDEX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"cannot read the index '{index}': {error.strerror}") from None
    try:
        if len(text) > MAX_INDEX_BYTES:
            raise FormatError(f"it has more than {MAX_INDEX_BYTES} bytes")
        shard_of = _weight_map(read_object(text, "it"))
    except FormatError as error:
        raise ModelError(f"'{index}' is not an index of shards: {error}") from None
    files = {name: index.parent / name for name in sorted(set(shard_of.values()))}
    for name, file in files.items():
        if not file.is_file():
            raise ModelError(f"the shard {shown(name)} of '{index}' is missing")
    return Source(path, files, index, shard_of)


def _weight_map(fields: Mapping[str, Any]) -> dict[str, str]:
    found = fields.get("weight_map")
    if not isinstance(found, dict) or not found:
        raise FormatError("it has no 'weight_map' that names the shard of each tensor")
    for name, shard in found.items():
        # A shard lies beside its index: no name leads anywhere else, on any system.
        plain = isinstance(shard, str) and not any(sign in shard for sign in "/\\:\0")
        if not plain or shard in ("", ".", ".."):
            raise FormatError(f"the shard of tensor {shown(name)} is not a plain file name")
    return found


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
