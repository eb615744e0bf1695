"""Failpoints do nothing unless armed, and then what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from weightcast.errors import ParameterError
from weightcast_server.app import create_app
from weightcast_server.settings import Settings
from weightcast_server.storing import files
from weightcast_web.failpoints import PLACES, arm, reach

SERVER = Path(files.__file__).parents[1]


def test_without_an_order_nothing_happens_anywhere() -> None:
    arm(Settings.model_fields["failpoint"].default)
    for place in PLACES:
        reach(place)


def test_an_error_comes_at_its_place_and_its_time_only() -> None:
    arm("full part-synced 2")
    reach("part-written")
    reach("part-synced")
    with pytest.raises(OSError, match="No space left"):
        reach("part-synced")
    reach("part-synced")
    arm("")


def test_a_kill_ends_the_process_and_those_it_names() -> None:
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    program = "import sys; from weightcast_web.failpoints import arm, reach\n"
    program += "arm('kill decoding 1', int(sys.argv[1])); reach('queued'); print(1, flush=True)\n"
    program += "reach('decoding'); print(2)"
    ran = subprocess.run([sys.executable, "-c", program, str(other.pid)], stdout=-1)
    assert (ran.returncode, ran.stdout) == (-9, b"1\n")
    other.communicate(timeout=60)
    assert other.returncode == -9


@pytest.mark.parametrize("order", ["kill", "kill nowhere 1", "hurt queued 1", "kill queued x"])
def test_an_order_that_means_nothing_is_refused(order: str) -> None:
    with pytest.raises(ParameterError, match="a failpoint is an action, a place and a number"):
        arm(order)


def test_production_refuses_to_fail_on_order(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, production=True, failpoint="kill queued 1")
    with pytest.raises(ParameterError, match="production has no failpoints"):
        create_app(settings)


def test_every_place_is_in_the_code_once() -> None:
    code = "".join(path.read_text() for path in SERVER.rglob("*.py"))
    found = re.findall(r'reach\((f?)"([^"]+)"\)', code)
    names = [name for is_pattern, name in found if not is_pattern]
    names += [
        name.replace("{what}", what)
        for is_pattern, name in found
        if is_pattern
        for what in ("part", "side", "model")
    ]
    assert sorted(names) == sorted(PLACES)
