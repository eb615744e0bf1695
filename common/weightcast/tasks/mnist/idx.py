"""The idx files of MNIST.

Source: LeCun, Cortes & Burges, *The MNIST database of handwritten digits*, section "File formats":
two zero bytes, the type (8 is uint8), the number of dimensions, each dimension as a big-endian
32-bit number, then the values in C order.
"""

import math
import struct
from pathlib import Path

import numpy as np

from weightcast.datasets.containers import read_files, unpacked
from weightcast.datasets.sources import Arrays, Bytes
from weightcast.errors import DataError

FILES = {
    "train-images": "train-images-idx3-ubyte",
    "train-labels": "train-labels-idx1-ubyte",
    "test-images": "t10k-images-idx3-ubyte",
    "test-labels": "t10k-labels-idx1-ubyte",
}
"""The official names of the files by name of array."""


def header(*shape: int) -> bytes:
    """Return what stands before the values of a uint8 array."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def decode(content: bytes, name: str) -> Bytes:
    """Return the array of an idx file, compressed by gzip or not.

    Raises:
        DataError: it is not an idx file of uint8 with as many values as it promises.
    """
    content = unpacked(content, name)
    n_dimensions = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * n_dimensions
    if content[:3] != b"\0\0\x08" or n_dimensions not in (1, 3) or len(content) < start:
        raise DataError(f"{name} is not an idx file of bytes")
    shape = struct.unpack(f">{n_dimensions}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(f"{name} has {len(content) - start} values, its header says {shape}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def decode_files(path: Path) -> Arrays:
    """Return the arrays of a folder, zip or tar archive with the four files, compressed or not.

    Raises:
        DataError: there are not all four, or they are broken.
    """
    files = read_files(path, _key)
    missing = [file for name, file in FILES.items() if name not in files]
    if missing:
        raise DataError(f"'{path.name}' has no {', '.join(missing)}")
    return {name: decode(files[name], file) for name, file in FILES.items()}


def _key(name: str) -> str | None:
    """Return the array that a file holds; Kaggle writes `train-images.idx3-ubyte`."""
    plain = name.removesuffix(".gz").replace(".idx", "-idx")
    return next((key for key, file in FILES.items() if file == plain), None)
