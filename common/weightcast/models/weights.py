"""A model as weights and carried tensors: the only place that takes a state_dict apart.

Models come as safetensors files, which may be larger than memory: weights are read in blocks, and
a received model is written as its weights arrive.
"""

import bisect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np

from weightcast.arrays import Weights
from weightcast.errors import ModelError
from weightcast.models.files.shards import Shards
from weightcast.models.files.sources import source_of
from weightcast.models.layout import Layout, put_together
from weightcast.models.naming import Choice, chosen_by
from weightcast.models.notes import Rounding, notes_on, rounding_of
from weightcast.models.tensors import ITEM_BITS, Tensor
from weightcast.models.widening import WEIGHT_DTYPES, Raw, widen_into

__all__ = ["WEIGHT_DTYPES", "Layout", "Model", "chosen_by", "open_model", "put_together"]

MAX_NAME = 256
"""Characters of a model's name."""


class Model:
    """Safetensors files taken apart; the weights are a `WeightSource` read from disk.

    Of the tensors of a type of `WEIGHT_DTYPES` those that ``choose`` picks are weights; all others
    are carried. Narrow values widen to float32 exactly, F64 is rounded; an F64 tensor with a value
    beyond float32 is carried.

    Args:
        path: a safetensors file, an index of shards, or a folder; see `source_of`.
        choose: says whether a tensor is a weight.
        name: what the user calls it; None: the name of the file or folder.
        empty: whether a model without weights is accepted, to be looked at.

    Raises:
        ModelError: the model is not there, is not safetensors, or has no weights.
    """

    def __init__(
        self,
        path: Path,
        choose: Callable[[Tensor], bool],
        *,
        name: str | None = None,
        empty: bool = False,
    ) -> None:
        self.path = path
        # What a header can hold: text, not too long.
        self.name = (name or path.name).encode(errors="replace").decode()[:MAX_NAME]
        self.source = source_of(path)
        self.shards = Shards(self.source)
        self._choose = choose
        try:
            self._roundings = self._look_at_doubles(choose)
        except BaseException:
            self.close()
            raise
        tensors = self.shards.tensors
        fits = {t.name for t in tensors if t.dtype in WEIGHT_DTYPES and choose(t)}
        fits -= {name for name, found in self._roundings.items() if found.beyond is not None}
        self.layout = Layout(
            tuple(t for t in tensors if t.name in fits),
            tuple(t for t in tensors if t.name not in fits),
        )
        self._ends = list(accumulate(t.n_values for t in self.layout.weights))
        if not len(self) and not empty:
            self.close()
            raise ModelError(f"'{path}' has no tensor that could be sent as weights")

    def __len__(self) -> int:
        """Return the number of weights."""
        return self._ends[-1] if self._ends else 0

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

    def place(self, index: int) -> tuple[str, tuple[int, ...]]:
        """Return the name of the tensor that weight ``index`` is in, and the index within it.

        Raises:
            IndexError: there is no such weight.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"weights are 0 .. {len(self) - 1}, got {index}")
        i = bisect.bisect_right(self._ends, index)
        tensor = self.layout.weights[i]
        within = index - (self._ends[i] - tensor.n_values)
        return tensor.name, tensor.place(within)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a sender should know before sending, a line each; reads the carried floats once."""
        idle = self._choose.idle(self.shards.tensors) if isinstance(self._choose, Choice) else []
        return notes_on(self.layout, self.shards, self._roundings, idle)

    @property
    def files(self) -> tuple[Path, ...]:
        """The safetensors files, sorted by name."""
        return tuple(self.source.files.values())

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the files say about themselves, `__metadata__` of safetensors."""
        return self.shards.metadata

    def carried(self) -> Iterator[tuple[Tensor, bytes]]:
        """Yield each carried tensor with its bytes."""
        for tensor in self.layout.carried:
            raw = np.empty(tensor.n_bytes, np.uint8)
            self.shards.read_into(raw, tensor)
            yield tensor, raw.tobytes()

    def digest(self) -> str:
        """Return the SHA-256 of the file, hexadecimal; of a sharded model see `Source.digest`."""
        return self.source.digest()

    def close(self) -> None:
        """Close the files."""
        self.shards.close()

    def _look_at_doubles(self, choose: Callable[[Tensor], bool]) -> dict[str, Rounding]:
        return {
            tensor.name: rounding_of(self.shards.pieces(tensor))
            for tensor in self.shards.tensors
            if tensor.dtype == "F64" and choose(tensor)
        }

    def _widen_into(self, out: Weights, tensor: Tensor, first: int) -> None:
        item = ITEM_BITS[tensor.dtype] // 8
        if tensor.dtype == "F32":
            self.shards.read_into(out, tensor, first * item)
            return
        raw: Raw = np.empty(len(out) * item, np.uint8)
        self.shards.read_into(raw, tensor, first * item)
        widen_into(out, raw, tensor.dtype)


@contextmanager
def open_model(
    path: Path,
    choose: Callable[[Tensor], bool] = lambda tensor: len(tensor.shape) >= 2,
    *,
    name: str | None = None,
    empty: bool = False,
) -> Iterator[Model]:
    """Open a `Model`, by default with all tensors of two or more dimensions as weights."""
    model = Model(path, choose, name=name, empty=empty)
    try:
        yield model
    finally:
        model.close()
