"""Files in a folder, a zip or a tar archive, told apart by content."""

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from weightcast.errors import DataError

Key = Callable[[str], str | None]
"""Turns a file's base name into a key; None leaves the file out."""

MOST_BYTES = 1 << 28
"""Of one file; whatever is larger in an archive is not of a data set that is read here."""

_PATTERNS = ("*", "*/*", "*/*/*")


def read_files(path: Path, key: Key) -> dict[str, bytes]:
    """Return the files whose base name has a key, by key; of several with one key, the first.

    Args:
        path: of a folder (files at most three levels down), a zip, or a tar archive, compressed or
            not.
        key: says which files are read.

    Raises:
        DataError: there is no such file, or it is no archive, or a broken one.
    """
    if not (path.is_dir() or path.is_file()):
        raise DataError(f"there is no file or folder '{path}'")
    found: dict[str, bytes] = {}
    try:
        for name, open_file in _members(path):
            found_key = key(Path(name).name)
            if found_key is not None and found_key not in found:
                with open_file() as file:
                    found[found_key] = _limited(file, name)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"'{path.name}' is broken: {str(error).partition(chr(10))[0]}") from None
    return found


def unpacked(content: bytes, name: str) -> bytes:
    """Return the content of a file that may be gzip."""
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.open(io.BytesIO(content)) as file:
            return _limited(file, name)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"'{name}' is broken: {error}") from None


def _members(path: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    if path.is_dir():
        for pattern in _PATTERNS:
            for file in sorted(path.glob(pattern)):
                if file.is_file():
                    yield file.name, lambda file=file: file.open("rb")  # type: ignore[misc]
    elif _start(path)[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as zipped:
            for info in zipped.infolist():
                yield info.filename, lambda info=info: zipped.open(info)  # type: ignore[misc]
    else:
        yield from _tar_members(path)


def _tar_members(path: Path) -> Iterator[tuple[str, Callable[[], BinaryIO]]]:
    try:
        archive = tarfile.open(path)  # noqa: SIM115
    except (tarfile.TarError, EOFError, zlib.error):
        raise DataError(f"'{path.name}' is not an archive, {_looks_like(path)}") from None
    with archive:
        for member in archive:
            if member.isfile():
                yield member.name, lambda member=member: archive.extractfile(member)  # type: ignore


def _limited(file: BinaryIO | gzip.GzipFile, name: str) -> bytes:
    content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise DataError(f"'{name}' is larger than {MOST_BYTES} bytes")
    return content


def _looks_like(path: Path) -> str:
    start = _start(path).lstrip()
    if not start:
        return "it is empty"
    if start[:2] == b"\x1f\x8b":
        return "or a broken one"
    return "it is a web page" if start[:1] == b"<" else f"it begins with {start[:8]!r}"


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(256)
