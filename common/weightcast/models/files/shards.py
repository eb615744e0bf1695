"""The open files of a model: which tensors they hold, and their bytes from anywhere in them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt

from weightcast.errors import FormatError, ModelError
from weightcast.models.files.foreign import HEAD_BYTES, what_it_is
from weightcast.models.files.sources import Source
from weightcast.models.naming import shown
from weightcast.models.tensors import ITEM_BITS, Tensor, read_head
from weightcast.models.widening import Raw

PIECE = 1 << 20
"""Values read at a time where a whole tensor is looked at: a multiple of the 8 bits of a byte."""


class Shards:
    """The tensors of a model's files, checked against the index if there is one.

    Of metadata that differ between shards, those of the first are kept.

    Args:
        source: its files; they stay open until `close`.

    Raises:
        ModelError: a file cannot be read, is not safetensors, or differs from the index.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._places: dict[str, tuple[BinaryIO, Path, int]] = {}
        self.shard_of: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        tensors: list[Tensor] = []
        with ExitStack() as stack:
            for shard, path in source.files.items():
                file, found, metadata = _opened(path, stack)
                self.metadata = metadata | self.metadata
                for tensor, offset in found.items():
                    self._check(tensor.name, shard)
                    self._places[tensor.name] = (file, path, offset)
                    self.shard_of[tensor.name] = shard
                    tensors.append(tensor)
            self._check_all_there()
            self._stack = stack.pop_all()
        self.tensors = sorted(tensors, key=lambda tensor: tensor.name)

    def read_into(self, out: npt.NDArray[np.generic], tensor: Tensor, at: int = 0) -> None:
        """Fill ``out`` with the bytes of a tensor from its byte ``at`` on."""
        file, path, offset = self._places[tensor.name]
        view = out.view(np.uint8).reshape(-1).data
        at += offset
        while view:
            n = os.preadv(file.fileno(), [view], at)
            if not n:
                raise ModelError(f"'{path}' became shorter while it was read")
            view, at = view[n:], at + n

    def pieces(self, tensor: Tensor, n_values: int = PIECE) -> Iterator[tuple[int, Raw]]:
        """Yield (index of the first value, bytes) through a tensor, ``n_values`` at a time."""
        bits = ITEM_BITS[tensor.dtype]
        for at in range(0, tensor.n_values, n_values):
            n = min(n_values, tensor.n_values - at)
            raw = np.empty(n * bits // 8, np.uint8)
            self.read_into(raw, tensor, at * bits // 8)
            yield at, raw

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def _check(self, name: str, shard: str) -> None:
        if name in self.shard_of:
            self._refuse(f"{shown(name)} is in two shards, '{self.shard_of[name]}' and '{shard}'")
        wanted = self.source.shard_of.get(name)
        if self.source.index is None or wanted == shard:
            return
        if wanted is None:
            self._refuse(f"{shown(name)} of the shard '{shard}' is not in the index")
        self._refuse(f"{shown(name)} is in the shard '{shard}', the index says '{wanted}'")

    def _check_all_there(self) -> None:
        for name, shard in self.source.shard_of.items():
            if name not in self.shard_of:
                self._refuse(f"{shown(name)} is not in its shard '{shard}'")

    def _refuse(self, what: str) -> NoReturn:
        raise ModelError(f"'{self.source.index}' and its shards differ: tensor {what}")


def _opened(path: Path, stack: ExitStack) -> tuple[BinaryIO, dict[Tensor, int], dict[str, str]]:
    """Open a file until the stack is closed; return it and what its head says."""
    try:
        file: BinaryIO = stack.enter_context(path.open("rb", buffering=0))
        head = os.pread(file.fileno(), HEAD_BYTES, 0)
        found, metadata = read_head(file, os.fstat(file.fileno()).st_size)
    except FormatError as error:
        what = what_it_is(head, path)
        known = f"'{path}' is not a safetensors file: {what}"
        raise ModelError(
            known if what else f"'{path}' is not a safetensors file that can be read: {error}"
        ) from None
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}': {error.strerror}") from None
    return file, found, metadata
