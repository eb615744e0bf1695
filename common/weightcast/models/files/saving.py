"""A received model on disk: one safetensors file, or shards with an index as the source has them.

Everything is written under a temporary name beside its place and renamed when it is whole.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from weightcast.errors import ModelError, ParameterError
from weightcast.models.files.shards import Shards
from weightcast.models.files.sources import INDEX_NAME, INDEX_SUFFIX, SINGLE_NAME, Source
from weightcast.models.naming import shown
from weightcast.models.tensors import ITEM_BITS, Tensor, write_index
from weightcast.models.weights import Model

SUFFIX = ".safetensors"


def save_received(
    received: Path,
    out: Path,
    like: Model,
    *,
    replace: bool = False,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a received model where the user wants it, whole or not at all; memory stays flat.

    Weights stay float32, in which they were received, whatever their type was before they were
    sent; carried tensors have their own types, and the metadata are those of ``like``.

    Args:
        received: the one safetensors file that arrived.
        out: a path that ends with `.safetensors` becomes one file, any other a folder.
        like: the model that was sent: a folder gets its shards' names, or `model.safetensors`.
        replace: whether something of the same kind that is there already goes.
        max_shard_bytes: cut a folder into new shards of about so many bytes of tensors instead.

    Raises:
        ParameterError: ``out`` is there already, and ``replace`` is false or it is something else.
        ModelError: ``received`` is not such a file, or not of the tensors of ``like``.
    """
    check_out(out, replace=replace)
    # The file is opened as it is: a path like /dev/fd/3 has a name that nothing is known by.
    shards = Shards(Source(received, {SINGLE_NAME: received}, None, {}))
    try:
        _refuse_difference(shards, like)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix == SUFFIX:
            with new_file(out, replace=replace) as file:
                _write(file, shards, shards.tensors, like.metadata)
            return
        shard_of: Mapping[str, str] = like.shards.shard_of if like.source.index else {}
        if max_shard_bytes is not None:
            shard_of = cut_into_shards(shards.tensors, max_shard_bytes)
        index = like.source.index.name if like.source.index else INDEX_NAME
        with _new_folder(out, replace=replace) as folder:
            write_sharded(folder, shards, shard_of, like.metadata, index)
    finally:
        shards.close()


def _refuse_difference(shards: Shards, like: Model) -> None:
    ours = {(tensor.name, tensor.shape) for tensor in shards.tensors}
    differing = ours ^ {(tensor.name, tensor.shape) for tensor in like.shards.tensors}
    if differing:
        name, _ = min(differing)
        raise ModelError(f"what was received and what was sent differ by {shown(name)}")


def check_out(out: Path, *, replace: bool = False) -> None:
    """Refuse a place for a model before anything is sent; errors as of `save_received`."""
    if not os.path.lexists(out):
        return
    if not replace:
        raise ParameterError(f"'{out}' is there already")
    if out.suffix == SUFFIX and not out.is_file():
        raise ParameterError(f"'{out}' is there already and is not a file")
    if out.suffix != SUFFIX:
        others = _others_in(out)
        if others:
            raise ParameterError(f"'{out}' is there already and holds more than a model: {others}")


def _others_in(out: Path) -> str:
    if not out.is_dir() or out.is_symlink():
        return "it is not a folder"
    names = sorted(path.name for path in out.iterdir())
    return ", ".join([n for n in names if not n.endswith((SUFFIX, INDEX_SUFFIX))][:3])


def cut_into_shards(tensors: list[Tensor], max_shard_bytes: int) -> dict[str, str]:
    """Return a shard's name for each tensor, in order; a larger tensor has a shard of its own."""
    if max_shard_bytes < 1:
        raise ParameterError(f"max_shard_bytes must be at least 1, got {max_shard_bytes}")
    groups: list[list[str]] = []
    used = max_shard_bytes
    for tensor in tensors:
        if used + tensor.n_bytes > max_shard_bytes or not groups:
            groups.append([])
            used = 0
        groups[-1].append(tensor.name)
        used += tensor.n_bytes
    shard = "model-{:05}-of-{:05}.safetensors"
    return {
        name: shard.format(i, len(groups)) for i, group in enumerate(groups, 1) for name in group
    }


def write_sharded(
    folder: Path,
    source: Shards,
    shard_of: Mapping[str, str],
    metadata: Mapping[str, str],
    index: str = INDEX_NAME,
) -> None:
    """Write the tensors of open files as shards with an index into an empty folder.

    Args:
        folder: to write into.
        source: the tensors.
        shard_of: file name by tensor; empty: all in `model.safetensors`, without an index.
        metadata: of each file.
        index: file name of the index.
    """
    shards: dict[str, list[Tensor]] = {}
    for tensor in source.tensors:
        shards.setdefault(shard_of[tensor.name] if shard_of else SINGLE_NAME, []).append(tensor)
    for name, tensors in shards.items():
        with new_file(folder / name) as file:
            _write(file, source, tensors, metadata)
    if shard_of:
        total = sum(tensor.n_bytes for tensor in source.tensors)
        fields = {"metadata": {"total_size": total}, "weight_map": dict(sorted(shard_of.items()))}
        with new_file(folder / index) as file:
            file.write(json.dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n")


def _write(
    file: BinaryIO, source: Shards, tensors: Iterable[Tensor], metadata: Mapping[str, str]
) -> None:
    """Write tensors as safetensors, wider types first, so that every tensor is aligned."""
    tensors = sorted(tensors, key=lambda tensor: -ITEM_BITS[tensor.dtype])
    file.write(write_index(tensors, metadata))
    for tensor in tensors:
        for _, raw in source.pieces(tensor):
            file.write(raw.data)


@contextmanager
def new_file(path: Path, *, replace: bool = False) -> Iterator[BinaryIO]:
    """Open a file that is in its place, durable, when the block ends well, and else is not."""
    new = _beside(path)
    try:
        with new.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_out(path, replace=replace)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
    _sync(path.parent)


@contextmanager
def _new_folder(path: Path, *, replace: bool) -> Iterator[Path]:
    new, old = _beside(path), _beside(path)
    new.mkdir()
    try:
        yield new
        _sync(new)
        check_out(path, replace=replace)
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        if old.exists():
            shutil.rmtree(old)
    finally:
        if new.exists():
            shutil.rmtree(new)
    _sync(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.new")


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
