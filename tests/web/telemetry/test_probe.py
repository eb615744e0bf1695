"""The probe that containers ask."""

import subprocess
import sys
from pathlib import Path

from driver.services import Driver

from weightcast_web.telemetry.probe import is_ready


def test_a_receiver_is_ready_until_it_ends(driver: Driver, tmp_path: Path) -> None:
    with driver.receiver(tmp_path) as receiver:
        assert is_ready(receiver.port)
        words = [sys.executable, "-m", "weightcast_web.telemetry.probe", str(receiver.port)]
        assert subprocess.run(words, timeout=30, check=False).returncode == 0
    assert not is_ready(receiver.port)
    assert subprocess.run(words, timeout=30, check=False).returncode == 1


def test_a_link_without_its_receiver_is_not_ready(driver: Driver) -> None:
    with driver.link("http://127.0.0.1:9") as link:
        assert not is_ready(link.port)
