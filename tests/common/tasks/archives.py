"""Tiny data sets in all the forms in which they are handed around."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from weightcast.tasks.mnist.idx import FILES, header

RNG = np.random.Generator(np.random.Philox(3))
LABELS = RNG.integers(0, 10, 12, np.uint8)
COLOUR = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
GREY = RNG.integers(0, 256, (12, 28, 28), np.uint8)
"""Ten training pictures, then two for the test."""

BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def check(arrays: dict[str, npt.NDArray[np.uint8]], images: npt.NDArray[np.uint8]) -> None:
    assert np.array_equal(arrays["train-images"], images[:10])
    assert np.array_equal(arrays["train-labels"], LABELS[:10])
    assert np.array_equal(arrays["test-images"], images[10:])
    assert np.array_equal(arrays["test-labels"], LABELS[10:])


def tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, raw in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return path


def folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, raw in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(raw)
    return path


def cifar_binary(batches: list[str] = BATCHES) -> dict[str, bytes]:
    files = {}
    for i, name in enumerate(batches):
        planes = COLOUR[2 * i : 2 * i + 2].transpose(0, 3, 1, 2).reshape(2, -1)
        records = np.column_stack([LABELS[2 * i : 2 * i + 2], planes])
        files[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
    return files


def cifar_package(width: int = 1024) -> dict[str, bytes]:
    files = {}
    for i, name in enumerate(BATCHES):
        file = io.BytesIO()
        Image.fromarray(COLOUR[2 * i : 2 * i + 2].reshape(-1, width, 3)).save(file, "PNG")
        files[f"package/{name}.png"] = file.getvalue()
    for part, labels in (("train", LABELS[:10]), ("test", LABELS[10:])):
        files[f"package/{part}_lables.json"] = json.dumps(labels.tolist()).encode()
    return files


def mnist_files(pattern: str = "{}") -> dict[str, bytes]:
    arrays = {
        "train-images": GREY[:10],
        "train-labels": LABELS[:10],
        "test-images": GREY[10:],
        "test-labels": LABELS[10:],
    }
    files = {}
    for name, values in arrays.items():
        raw = header(*values.shape) + values.tobytes()
        path = pattern.format(FILES[name])
        files[path] = gzip.compress(raw) if path.endswith(".gz") else raw
    return files
