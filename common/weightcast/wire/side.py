"""Side information and carried tensors as one safetensors body.

Tensors, in this order: `signs` (U8, packed bits), `classes` (U8, packed bits compressed with
zstandard), `plan/NAME` for every array of the plan, then `carried/NAME` for every carried tensor.
The first three are there only if the scheme has them.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, NamedTuple, Self

import numpy as np
import zstandard

from weightcast.arrays import BLOCK, Bits
from weightcast.errors import FormatError, ParameterError
from weightcast.models.tensors import Tensor, read_index, write_index
from weightcast.models.weights import Model
from weightcast.wire import plans
from weightcast.wire.transmission import Transmission

COMPRESSED = ("classes",)
_LEVEL = 9
_SPOOL_BYTES = 8 << 20
_PIECE = 1 << 20
_MAX_WINDOW = 8 << 20


class Block(NamedTuple):
    """One block of a transmission.

    Args:
        at: index of its first weight.
        n: its weights.
        side: their side bits.
        at_symbol: index of its first symbol.
        n_symbols: its symbols.
    """

    at: int
    n: int
    side: dict[str, Bits]
    at_symbol: int
    n_symbols: int


class SideWriter:
    """Collects the packed bits block by block; beyond a few megabytes they wait on disk."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._planes: dict[str, IO[bytes]] = {
            name: tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115 (closed by __exit__)
            for name in names
        }
        self._compressors = {
            name: zstandard.ZstdCompressor(level=_LEVEL).compressobj()
            for name in names
            if name in COMPRESSED
        }

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drop the collected bits."""
        for plane in self._planes.values():
            plane.close()

    def add(self, side: dict[str, Bits]) -> None:
        """Append the bits of the next block."""
        for name, plane in self._planes.items():
            raw = side[name].tobytes()
            plane.write(self._compressors[name].compress(raw) if name in COMPRESSED else raw)

    def write(self, file: BinaryIO, model: Model, plan: Any) -> dict[str, int]:
        """Write the whole body; return the bytes of each bit plane. To be called once, last."""
        for name, compressor in self._compressors.items():
            self._planes[name].write(compressor.flush())
        lengths = {name: plane.tell() for name, plane in self._planes.items()}
        tensors = [Tensor(name, "U8", (length,)) for name, length in lengths.items()]
        arrays = plans.body_of(plan)
        tensors += [tensor for tensor, _ in arrays]
        file.write(write_index([*tensors, *map(_carried, model.layout.carried)]))
        for plane in self._planes.values():
            plane.seek(0)
            shutil.copyfileobj(plane, file, _PIECE)
        for _, raw in (*arrays, *model.carried()):
            file.write(raw)
        return lengths


def _compressed_at_most(n_bytes: int) -> int:
    """Return the longest that zstandard makes of ``n_bytes`` (ZSTD_COMPRESSBOUND of its zstd.h)."""
    return n_bytes + n_bytes // 256 + 64


def _carried(tensor: Tensor) -> Tensor:
    return Tensor(f"carried/{tensor.name}", tensor.dtype, tensor.shape)


class SideReader:
    """Side information of a transmission, read from a file in blocks.

    Raises:
        FormatError: the body is not exactly what the header promises.
    """

    def __init__(self, path: Path, transmission: Transmission) -> None:
        self._transmission = transmission
        self._n_bytes = (transmission.header.n_weights + 7) // 8
        self._file: Any = path.open("rb")
        try:
            self._offsets, self.lengths = self._check_index()
            self.plan = transmission.plan or transmission.with_arrays(self._arrays())
        except (FormatError, ParameterError) as error:
            self._file.close()
            raise FormatError(f"side information: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def carried(self) -> dict[str, bytes]:
        """Return the bytes of each carried tensor by its name in the model."""
        tensors = self._transmission.layout.carried
        return {tensor.name: self._bytes_of(_carried(tensor)) for tensor in tensors}

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the transmission, in order.

        Raises:
            FormatError: a bit plane is too short or too long, has spare bits that are not zero, or
                does not lead to the promised number of symbols.
        """
        header, scheme = self._transmission.header, self._transmission.setup.scheme
        planes = {name: self._plane(name) for name in scheme.side_names}
        n_symbols = 0
        for at in range(0, header.n_weights, BLOCK):
            n = min(BLOCK, header.n_weights - at)
            side = {name: next(plane) for name, plane in planes.items()}
            for name, bits in side.items():
                if n % 8 and bits[-1] >> (n % 8):
                    raise FormatError(f"side information: '{name}' has spare bits that are not 0")
            count = scheme.symbols_of(self.plan, at, n, side)
            yield Block(at, n, side, n_symbols, count)
            n_symbols += count
        for plane in planes.values():
            next(plane, None)
        if n_symbols != header.n_symbols:
            raise FormatError(
                f"side information: it gives {n_symbols} symbols, header promises"
                f" {header.n_symbols}"
            )

    def check(self) -> None:
        """Read all of it once."""
        for _ in self.blocks():
            pass

    def _arrays(self) -> dict[str, plans.Array]:
        arrays = self._transmission.header.plan_arrays
        return {
            array.name: plans.read(array, self._bytes_of(plans.named(array))) for array in arrays
        }

    def _bytes_of(self, tensor: Tensor) -> bytes:
        self._file.seek(self._offsets[tensor.name])
        raw: bytes = self._file.read(tensor.n_bytes)
        return raw

    def _check_index(self) -> tuple[dict[str, int], dict[str, int]]:
        offsets = read_index(self._file, os.fstat(self._file.fileno()).st_size)
        found = list(offsets)
        wanted = [*self._transmission.setup.scheme.side_names]
        lengths = {}
        for tensor, name in zip(found, wanted, strict=False):
            n, whole = tensor.n_bytes, self._n_bytes
            fits = n <= _compressed_at_most(whole) if name in COMPRESSED else n == whole
            if (tensor.name, tensor.dtype, tensor.shape) != (name, "U8", (n,)) or not fits:
                raise FormatError(f"expected '{name}' for {whole} bytes, got {tensor}")
            lengths[name] = n
        rest = {*map(plans.named, self._transmission.header.plan_arrays)}
        rest |= {*map(_carried, self._transmission.layout.carried)}
        # Tensors without bytes share an offset, so the order among them is free.
        if len(found) < len(wanted) or set(found[len(wanted) :]) != rest:
            raise FormatError("its tensors are not the bit planes, the plan's and the carried ones")
        return {tensor.name: offset for tensor, offset in offsets.items()}, lengths

    def _plane(self, name: str) -> Iterator[Bits]:
        """Yield a bit plane in pieces of one block; ends where the plane must end."""
        piece = BLOCK // 8
        if name not in COMPRESSED:
            for at in range(0, self._n_bytes, piece):
                self._file.seek(self._offsets[name] + at)
                yield np.frombuffer(self._file.read(min(piece, self._n_bytes - at)), np.uint8)
            return
        self._file.seek(self._offsets[name])
        compressed = self._file.read(self.lengths[name])
        inflate = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW).decompressobj()
        buffer = bytearray()
        left = self._n_bytes
        fed = 0
        try:
            # 64 bytes hold at most a few blocks of 128 kB, whatever the sender made of them.
            while fed < len(compressed):
                buffer += inflate.decompress(compressed[fed : fed + 64])
                fed += 64
                while buffer and left and len(buffer) >= min(piece, left):
                    n = min(piece, left)
                    yield np.frombuffer(bytes(buffer[:n]), np.uint8)
                    del buffer[:n]
                    left -= n
                if inflate.eof or (buffer and not left):
                    break
        except zstandard.ZstdError as error:
            raise FormatError(f"side information: '{name}' is not zstandard: {error}") from None
        rest = fed < len(compressed) or inflate.unused_data
        if left or buffer or rest or not inflate.eof:
            raise FormatError(
                f"side information: '{name}' must have {self._n_bytes} bytes unpacked"
            )
