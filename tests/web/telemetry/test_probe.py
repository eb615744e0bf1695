import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from weightcast_web.telemetry.probe import is_ready


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def test_a_receiver_is_ready_until_it_ends(running: Any, tmp_path: Path) -> None:
    with running(tmp_path) as (_, url):
        assert is_ready(port_of(url))
        words = [sys.executable, "-m", "weightcast_web.telemetry.probe", str(port_of(url))]
        assert subprocess.run(words, timeout=30, check=False).returncode == 0
    assert not is_ready(port_of(url))
    assert subprocess.run(words, timeout=30, check=False).returncode == 1


def test_a_link_without_its_receiver_is_not_ready(running: Any) -> None:
    with running(None, "http://127.0.0.1:9") as (_, url):
        assert not is_ready(port_of(url))
