"""Sources that fail, in all the ways in which they do."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from weightcast.datasets import downloads
from weightcast.datasets.cache import SCRATCH
from weightcast.datasets.containers import read_files
from weightcast.datasets.sources import Arrays, Pin, PinnedArrays, silent
from weightcast.errors import DataError

VALUES = np.arange(12, dtype=np.uint8).reshape(3, 4)
PIN = Pin(hashlib.sha256(b"head" + VALUES.tobytes()).hexdigest(), b"head")
TOY = PinnedArrays(title="Toy", prefix="toy", pins={"a": PIN})


def good(scratch: Path, report: object) -> Arrays:
    return {"a": VALUES}


def test_what_was_fetched_is_loaded_and_the_cache_is_the_next_source(tmp_path: Path) -> None:
    cache = tmp_path / "new" / "cache"
    assert TOY.fetch(cache, {"good": good}) == "good"
    assert TOY.fetch(cache, {"good": good}) == "cache"
    assert np.array_equal(TOY.load(cache, "a"), VALUES)
    assert [path.name for path in cache.iterdir()] == ["toy-a.npy"]


def test_an_empty_cache_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Toy is not in the cache; `client data` fetches it"):
        TOY.load(tmp_path, "a")


def test_arrays_with_another_digest_are_neither_kept_nor_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a has the SHA-256"):
        TOY.save(tmp_path, "a", VALUES + np.uint8(1))
    assert not list(tmp_path.iterdir())
    for other in (VALUES.T, VALUES.astype(np.int64)):
        np.save(tmp_path / "toy-a.npy", other)
        with pytest.raises(DataError, match="a has the SHA-256"):
            TOY.load(tmp_path, "a")


def test_a_cache_that_is_no_array_or_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy-a.npy"
    for content in (b"", b"rubbish", b"PK\x03\x04", b"\x93NUMPY\x01\0\x02\0{}"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            TOY.load(tmp_path, "a")
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        TOY.load(tmp_path, "a")


def test_a_source_that_lacks_an_array_is_followed_by_the_next(tmp_path: Path) -> None:
    assert TOY.fetch(tmp_path, {"empty": lambda scratch, report: {}, "good": good}) == "good"


def test_what_a_killed_download_left_is_removed_by_the_next(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from weightcast.datasets.sources import Pin, PinnedArrays

def source(scratch, report):
    (scratch / "half").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)

toy = PinnedArrays(title="Toy", prefix="toy", pins={{"a": Pin("")}})
toy.fetch(Path({str(tmp_path)!r}), {{"x": source}})
"""
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    (tmp_path / f"{SCRATCH}0").write_bytes(b"half an array")
    (tmp_path / "mine").write_bytes(b"not ours")
    assert len(list(tmp_path.glob(f"{SCRATCH}*"))) == 2
    assert TOY.fetch(tmp_path, {"good": good}) == "good"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "toy-a.npy"]


def test_a_second_download_waits_for_the_first_and_finds_its_arrays(tmp_path: Path) -> None:
    waits, found = threading.Event(), []

    def slow(scratch: Path, report: object) -> Arrays:
        other.start()
        assert waits.wait(30)
        return {"a": VALUES}

    def second() -> None:
        found.append(TOY.fetch(tmp_path, {}, lambda what, done, total: waits.set()))

    other = threading.Thread(target=second)
    assert TOY.fetch(tmp_path, {"slow": slow}) == "slow"
    other.join(30)
    assert found == ["cache"]


def test_a_cache_that_cannot_be_one_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="file' cannot be the cache: File exists"):
        TOY.fetch(tmp_path / "file", {"good": good})


@contextmanager
def serving(status: int, content: bytes, length: int | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content) if length is None else length))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.tar.gz"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "content", "length", "said"),
    [
        (404, b"no", None, "answers 404 Not Found"),
        (503, b"", None, "answers 503 Service Unavailable"),
        (204, b"", None, "answers 204 No Content"),
        (200, b"", None, "is not an archive, it is empty"),
        (200, b" <!DOCTYPE html>", None, "is not an archive, it is a web page"),
        (200, b"hello", None, "is not an archive, it begins with b'hello'"),
        (200, b"\x1f\x8b\x08\0", None, "is not an archive, or a broken one"),
        (200, b"half", 1000, "peer closed connection"),
        (200, b"PK\x03\x04", None, "is broken"),
    ],
)
def test_a_source_that_gives_something_else_is_a_line_and_the_next_source(
    tmp_path: Path, status: int, content: bytes, length: int | None, said: str
) -> None:
    with serving(status, content, length) as url:

        def bad(scratch: Path, report: object) -> Arrays:
            path = downloads.download(url, scratch / "a.tar.gz", silent)
            return {"a": np.frombuffer(read_files(path, str)["a"], np.uint8)}

        with pytest.raises(DataError, match=said) as caught:
            TOY.fetch(tmp_path, {"bad": bad})
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.iterdir())
        assert TOY.fetch(tmp_path, {"bad": bad, "good": good}) == "good"


def test_a_download_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "MOST_BYTES", 10)
    with serving(200, b"x" * 11) as url, pytest.raises(DataError, match="larger than 10 bytes"):
        downloads.download(url, tmp_path / "a", silent)


def test_a_url_that_is_none_or_nobody_listens_to_is_refused(tmp_path: Path) -> None:
    for url in ("http://127.0.0.1:9/a", "ftp://a", "http://[", "http://a:b"):
        with pytest.raises(DataError):
            downloads.download(url, tmp_path / "a", silent)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "npm pack failed"),
        ("echo 'npm error code E404' >&2; echo 'npm error 404 Not Found' >&2; exit 1", "404 Not"),
        ("exit 0", "npm pack failed"),
    ],
)
def test_npm_says_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{script}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(DataError, match=f"^{said}"):
        downloads.npm_package("a@1", tmp_path, silent)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="npm is not installed"):
        downloads.npm_package("a@1", tmp_path, silent)


def test_what_is_neither_a_file_nor_a_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", Path("/dev/zero")):
        with pytest.raises(DataError, match="there is no file or folder"):
            read_files(path, str)
