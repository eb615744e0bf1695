import io
from pathlib import Path

import numpy as np
import pytest
import zstandard
from safetensors.numpy import load, save, save_file

from weightcast.arrays import BLOCK
from weightcast.channels.noiseless import Noiseless
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.errors import FormatError
from weightcast.models.weights import open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import Setup
from weightcast.wire.side import SideReader, SideWriter
from weightcast.wire.transmission import Transmission, announce, check

N = 2 * BLOCK + 13
SCHEME = AdaptiveRedundancy(n_large=500)
SETUP = Setup(scheme=SCHEME, channel=Noiseless())


@pytest.fixture(scope="module")
def sent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Transmission, bytes]:
    """A transmission of three blocks, and its side information."""
    path = tmp_path_factory.mktemp("side") / "model.safetensors"
    rng = np.random.Generator(np.random.Philox(1))
    tensors = {
        "w": rng.normal(0, 1, (N, 1)).astype(np.float32),
        "bias": np.arange(3, dtype=np.float64),
        "empty": np.zeros((0,), np.float32),
        "steps": np.array(7, np.int64),
    }
    save_file(tensors, path)
    with open_model(path) as model, SideWriter(SCHEME.side_names) as side:
        plan = plan_for(model, SETUP, model.layout.weights)
        for _, _, piece in encode(model, SCHEME, plan):
            side.add(piece.side)
        header = announce("m", model.layout, SETUP, plan)
        file = io.BytesIO()
        side.write(file, model, plan)
    return check(header), file.getvalue()


def read(raw: bytes, transmission: Transmission, folder: Path) -> SideReader:
    path = folder / "side.safetensors"
    path.write_bytes(raw)
    reader = SideReader(path, transmission)
    try:
        reader.check()
    finally:
        reader.close()
    return reader


def test_what_was_written_is_read_block_by_block(
    sent: tuple[Transmission, bytes], tmp_path: Path
) -> None:
    transmission, raw = sent
    path = tmp_path / "side.safetensors"
    path.write_bytes(raw)
    reader = SideReader(path, transmission)
    found = list(reader.blocks())
    lengths, symbols = [block.n for block in found], [block.n_symbols for block in found]
    assert [block.at for block in found] == [0, BLOCK, 2 * BLOCK]
    assert [block.at_symbol for block in found] == [0, symbols[0], symbols[0] + symbols[1]]
    carried = reader.carried()
    reader.close()
    assert lengths == [BLOCK, BLOCK, 13]
    assert sum(symbols) == transmission.header.n_symbols == N + 9 * 500
    assert np.frombuffer(carried["bias"], "<f8").tolist() == [0, 1, 2]
    assert carried["empty"] == b"" and carried["steps"] == (7).to_bytes(8, "little")


def test_the_body_is_plain_safetensors(sent: tuple[Transmission, bytes]) -> None:
    _, raw = sent
    found = load(raw)
    assert len(found["signs"]) == (N + 7) // 8
    classes = zstandard.ZstdDecompressor().decompressobj().decompress(found["classes"].tobytes())
    assert np.unpackbits(np.frombuffer(classes, np.uint8)).sum() == 500
    assert set(found) == {"signs", "classes", "carried/bias", "carried/empty", "carried/steps"}


def compressed(raw: bytes) -> np.ndarray:
    return np.frombuffer(zstandard.ZstdCompressor().compress(raw), np.uint8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signs": np.zeros((N + 7) // 8 - 1, np.uint8)}, "expected 'signs' for"),
        ({"signs": np.zeros((N + 7) // 8, np.int8)}, "expected 'signs' for"),
        ({"signs": np.full((N + 7) // 8, 255, np.uint8)}, "'signs' has spare bits that are not 0"),
        ({"signs": None}, "expected 'signs'"),
        ({"classes": None}, "expected 'classes'"),
        ({"classes": compressed(bytes((N + 7) // 8))}, "symbols, header promises"),
        ({"classes": compressed(b"\xff" * ((N + 7) // 8))}, "'classes' has spare bits"),
        ({"classes": compressed(bytes(N // 8))}, "'classes' must have 32770 bytes unpacked"),
        ({"classes": compressed(bytes(N))}, "bytes unpacked"),
        ({"classes": compressed(bytes(1 << 28))}, "bytes unpacked"),
        ({"classes": np.zeros(0, np.uint8)}, "bytes unpacked"),
        ({"classes": np.arange(200, dtype=np.uint8)}, "'classes' is not zstandard"),
        ({"carried/bias": np.zeros(4)}, "not the bit planes, the plan.s"),
        (
            {"carried/bias": np.zeros(3, np.float32)},
            "not the bit planes, the plan.s",
        ),
        ({"carried/bias": None}, "not the bit planes, the plan.s"),
        ({"carried/more": np.zeros(1)}, "not the bit planes, the plan.s"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_side_information_that_does_not_fit_the_header_is_refused(
    sent: tuple[Transmission, bytes],
    tmp_path: Path,
    changes: dict[str, np.ndarray | None],
    message: str,
) -> None:
    transmission, raw = sent
    tensors = load(raw) | changes
    # The library orders by type, then by name; the planes are made to stand first by hand.
    body = joined({name: array for name, array in tensors.items() if array is not None})
    with pytest.raises(FormatError, match=message):
        read(body, transmission, tmp_path)


def joined(tensors: dict[str, np.ndarray]) -> bytes:
    from weightcast.models.tensors import Tensor, write_index

    kinds = {"uint8": "U8", "int8": "I8", "float32": "F32", "float64": "F64", "int64": "I64"}
    order = sorted(tensors, key=lambda name: (name != "signs", name != "classes", name))
    index = [Tensor(n, kinds[str(tensors[n].dtype)], tensors[n].shape) for n in order]
    return write_index(index) + b"".join(tensors[name].tobytes() for name in order)


@pytest.mark.parametrize("n", [0, 7, 100, -1])
def test_a_body_cut_anywhere_is_refused(
    sent: tuple[Transmission, bytes], tmp_path: Path, n: int
) -> None:
    transmission, raw = sent
    with pytest.raises(FormatError, match="side information"):
        read(raw[:n], transmission, tmp_path)
    with pytest.raises(FormatError, match="side information"):
        read(raw + b"x", transmission, tmp_path)


def test_rubbish_after_the_compressed_classes_is_refused(
    sent: tuple[Transmission, bytes], tmp_path: Path
) -> None:
    transmission, raw = sent
    tensors = load(raw)
    for rubbish in (np.zeros(1, np.uint8), np.zeros(500, np.uint8)):
        longer = tensors | {"classes": np.concatenate([tensors["classes"], rubbish])}
        with pytest.raises(FormatError, match="bytes unpacked"):
            read(joined(longer), transmission, tmp_path)


def test_another_order_of_the_planes_is_refused(
    sent: tuple[Transmission, bytes], tmp_path: Path
) -> None:
    transmission, raw = sent
    with pytest.raises(FormatError, match="expected 'signs'"):
        read(save(load(raw)), transmission, tmp_path)
