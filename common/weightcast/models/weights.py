"""A model as weights and carried tensors: the only place that takes a state_dict apart.

Models come as safetensors files, which may be larger than memory: weights are read in blocks, and
a received model is written as its weights arrive.
"""

import bisect
import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from weightcast.arrays import Weights
from weightcast.errors import FormatError, ModelError, ParameterError
from weightcast.models.tensors import ITEM_BYTES, Tensor, read_index, write_index

WEIGHT_DTYPES = ("F32", "BF16", "F16")


@dataclass(frozen=True, slots=True)
class Layout:
    """Which tensors of a model are weights and which are carried, both sorted by name.

    Args:
        weights: their values, in this order, are the flat array that is sent.
        carried: sent error-free.
    """

    weights: tuple[Tensor, ...]
    carried: tuple[Tensor, ...]

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return sum(tensor.n_values for tensor in self.weights)

    @property
    def carried_bytes(self) -> int:
        """Bytes of all carried tensors."""
        return sum(tensor.n_bytes for tensor in self.carried)

    def received(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return the tensors of the received model in file order: carried, weights, carried.

        Weights become float32. Wider types stand first, so that every tensor is aligned.
        """
        weights = [Tensor(tensor.name, "F32", tensor.shape) for tensor in self.weights]
        carried = sorted(self.carried, key=lambda tensor: -ITEM_BYTES[tensor.dtype])
        wide = [tensor for tensor in carried if ITEM_BYTES[tensor.dtype] >= 4]
        return wide, weights, carried[len(wide) :]


class Model:
    """A safetensors file taken apart; its weights are a `WeightSource` read from disk.

    Of the tensors of type F32, BF16 or F16 those that ``choose`` picks are weights; all others are
    carried. 16-bit values widen to float32 exactly.

    Args:
        path: the file; it stays open until `close`.
        choose: says whether a tensor is a weight.

    Raises:
        ModelError: the file is not there, is not safetensors, or has no weights.
    """

    def __init__(self, path: Path, choose: Callable[[Tensor], bool]) -> None:
        try:
            self._file: BinaryIO = path.open("rb", buffering=0)
        except OSError as error:
            raise ModelError(f"cannot read the model '{path}': {error.strerror}") from None
        try:
            self._offsets = read_index(self._file, os.fstat(self._file.fileno()).st_size)
        except (FormatError, OSError) as error:
            self._file.close()
            raise ModelError(f"'{path}' is not a safetensors file: {error}") from None

        tensors = sorted(self._offsets, key=lambda tensor: tensor.name)
        self.path = path
        weights = [t for t in tensors if t.dtype in WEIGHT_DTYPES and choose(t)]
        self.layout = Layout(tuple(weights), tuple(t for t in tensors if t not in set(weights)))
        if not self.layout.n_weights:
            self._file.close()
            raise ModelError(f"'{path}' has no tensor that could be sent as weights")
        self._ends = list(accumulate(t.n_values for t in self.layout.weights))
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of weights."""
        return self._ends[-1]

    def __getitem__(self, index: slice) -> Weights:
        """Return the weights of a slice with step 1 as a new float32 array."""
        start, stop, _ = index.indices(len(self))
        out = np.empty(max(stop - start, 0), np.float32)
        i = bisect.bisect_right(self._ends, start)
        done = 0
        while done < len(out):
            tensor = self.layout.weights[i]
            first = start + done - (self._ends[i] - tensor.n_values)
            n = min(tensor.n_values - first, len(out) - done)
            self._widen_into(out[done : done + n], tensor, first)
            done += n
            i += 1
        return out

    def carried(self) -> Iterator[tuple[Tensor, bytes]]:
        """Yield each carried tensor with its bytes."""
        for tensor in self.layout.carried:
            raw = np.empty(tensor.n_bytes, np.uint8)
            self._read_into(raw, self._offsets[tensor])
            yield tensor, raw.tobytes()

    def digest(self) -> str:
        """Return the SHA-256 of the file, hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _widen_into(self, out: Weights, tensor: Tensor, first: int) -> None:
        offset = self._offsets[tensor] + first * ITEM_BYTES[tensor.dtype]
        if tensor.dtype == "F32":
            self._read_into(out, offset)
            return
        raw = np.empty(len(out), np.uint16)
        self._read_into(raw, offset)
        if tensor.dtype == "BF16":
            np.left_shift(raw, 16, out=out.view(np.uint32), dtype=np.uint32)
        else:
            out[:] = raw.view(np.float16)

    def _read_into(self, out: npt.NDArray[np.generic], offset: int) -> None:
        view = out.view(np.uint8).data
        with self._lock:
            self._file.seek(offset)
            while view:
                n = self._file.readinto(view)  # type: ignore[attr-defined]
                if not n:
                    raise ModelError(f"'{self.path}' became shorter while it was read")
                view = view[n:]


@contextmanager
def open_model(
    path: Path, choose: Callable[[Tensor], bool] = lambda tensor: len(tensor.shape) >= 2
) -> Iterator[Model]:
    """Open a `Model`, by default with all tensors of two or more dimensions as weights."""
    model = Model(path, choose)
    try:
        yield model
    finally:
        model.close()


def chosen_by(include: Sequence[str], exclude: Sequence[str]) -> Callable[[Tensor], bool]:
    """Return a choice of weights by name among the tensors with two or more dimensions.

    Args:
        include: regular expressions; if there are any, one must be found in the name.
        exclude: regular expressions; none may be found in the name.
    """
    wanted, unwanted = _patterns(include), _patterns(exclude)

    def choose(tensor: Tensor) -> bool:
        chosen = not wanted or any(pattern.search(tensor.name) for pattern in wanted)
        refused = any(pattern.search(tensor.name) for pattern in unwanted)
        return len(tensor.shape) >= 2 and chosen and not refused

    return choose


def put_together(
    file: BinaryIO, layout: Layout, blocks: Iterable[Weights], carried: Mapping[str, bytes]
) -> None:
    """Write a received model as safetensors while its weights arrive.

    Args:
        file: open for writing.
        layout: of the model.
        blocks: all weights in order, in arrays of any length.
        carried: bytes of each carried tensor by name.
    """
    before, weights, after = layout.received()
    file.write(write_index([*before, *weights, *after]))
    for tensor in before:
        file.write(carried[tensor.name])
    written = 0
    for block in blocks:
        file.write(block.data)
        written += len(block)
    if written != layout.n_weights:
        raise ModelError(f"the layout has {layout.n_weights} weights, got {written}")
    for tensor in after:
        file.write(carried[tensor.name])


def _patterns(texts: Sequence[str]) -> list[re.Pattern[str]]:
    try:
        return [re.compile(text) for text in texts]
    except re.error as error:
        raise ParameterError(f"the pattern '{error.pattern!s}' is broken: {error.msg}") from None
