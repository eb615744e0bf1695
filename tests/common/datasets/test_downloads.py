"""Proxies in every form that people set them, and sources that hardly move."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from weightcast.datasets import downloads
from weightcast.datasets.downloads import download, proxy_for
from weightcast.datasets.sources import silent
from weightcast.errors import DataError

URL = "http://data.invalid/a.tar.gz"
NETWORKS = "localhost,fd07:b51a:cc66:f0::/64,[::1],::1,10.0.0.0/8,*.corp, ,"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http", "https", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name.upper()}_PROXY", raising=False)
    return monkeypatch


@pytest.fixture
def proxy() -> Iterator[str]:
    """A proxy that answers with the address that it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("form", ["http://{}", "{}", "http://user:secret@{}/"])
def test_a_download_takes_the_proxy_whatever_no_proxy_lists(
    environment: pytest.MonkeyPatch, proxy: str, tmp_path: Path, name: str, form: str
) -> None:
    environment.setenv(name, form.format(proxy))
    environment.setenv("NO_PROXY", NETWORKS)
    assert download(URL, tmp_path / "a", silent).read_text() == URL


@pytest.mark.parametrize("skipped", ["data.invalid", ".invalid", "invalid", "*", "x, data.invalid"])
def test_a_host_of_no_proxy_is_reached_without(
    environment: pytest.MonkeyPatch, skipped: str
) -> None:
    environment.setenv("https_proxy", "http://127.0.0.1:9")
    assert proxy_for("https://data.invalid/a") == "http://127.0.0.1:9"
    assert proxy_for("http://data.invalid/a") is None
    environment.setenv("no_proxy", skipped)
    assert proxy_for("https://data.invalid/a") is None


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://u:secret@127.0.0.1:9", "socks5://127.0.0.1:9 speaks SOCKS, which needs `pip"),
        ("socks4://u:secret@127.0.0.1:9", "socks4://127.0.0.1:9 is no proxy: neither http nor"),
        ("ftp://x", "ftp://x is no proxy"),
        ("http://u:secret@127.0.0.1:9", r"\(through the proxy http://127.0.0.1:9\)$"),
        ("http://[", r"\(through the proxy http://\[\)$"),
        ("http://127.0.0.1:99999", r"\(through the proxy http://127.0.0.1:99999\)$"),
    ],
)
def test_a_proxy_that_cannot_be_is_a_line_without_its_password(
    environment: pytest.MonkeyPatch, tmp_path: Path, proxy: str, said: str
) -> None:
    environment.setitem(sys.modules, "socksio", None)
    environment.setenv("ALL_PROXY", proxy)
    with pytest.raises(DataError, match=said) as caught:
        download(URL, tmp_path / "a", silent)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_certificates_that_are_not_there_are_named(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(DataError, match=r"^SSL_CERT_FILE or SSL_CERT_DIR cannot be used: "):
        download(URL, tmp_path / "a", silent)


def test_a_download_that_hardly_moves_is_given_up(
    environment: pytest.MonkeyPatch, proxy: str, tmp_path: Path
) -> None:
    environment.setenv("http_proxy", proxy)
    environment.setattr(downloads, "WARM_UP_S", 0.0)
    environment.setattr(downloads, "SLOWEST_BYTES_PER_S", 1e12)
    with pytest.raises(DataError, match=rf"^{URL} gave {len(URL)} bytes in 0 s$"):
        download(URL, tmp_path / "a", silent)
