"""A layout: which tensors of a model are weights, and how the received model is written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from weightcast.arrays import Weights
from weightcast.errors import ModelError
from weightcast.models.tensors import ITEM_BITS, Tensor, write_index


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
    def carried_values(self) -> int:
        """Number of values in all carried tensors."""
        return sum(tensor.n_values for tensor in self.carried)

    @property
    def carried_bytes(self) -> int:
        """Bytes of all carried tensors."""
        return sum(tensor.n_bytes for tensor in self.carried)

    def received(self) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return the tensors of the received model in file order: carried, weights, carried.

        Weights become float32. Wider types stand first, so that every tensor is aligned.
        """
        weights = [Tensor(tensor.name, "F32", tensor.shape) for tensor in self.weights]
        carried = sorted(self.carried, key=lambda tensor: -ITEM_BITS[tensor.dtype])
        wide = [tensor for tensor in carried if ITEM_BITS[tensor.dtype] >= 32]
        return wide, weights, carried[len(wide) :]


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
