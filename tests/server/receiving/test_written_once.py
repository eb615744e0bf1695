"""A body is written once, to the file that is kept."""

from pathlib import Path

import pytest
from driver.calls import AWGN
from driver.models import encoded
from driver.services import Driver

MOST_WRITTEN = 1.1
"""Bytes written per byte of a body, with what the database writes."""


def written_bytes(pid: int) -> int:
    """Return the bytes that a process has handed to the system to be written."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["wchar"])


@pytest.mark.parametrize("what", ["parts", "side"])
def test_a_receiver_writes_each_byte_of_a_body_once(
    what: str, driver: Driver, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, "sign-protection")
    with driver.receiver(tmp_path) as own:
        path = own.open(sent.header)
        before = written_bytes(own.process.pid)
        if what == "parts":
            answers = [own.put_part(path, n, part, **AWGN) for n, part in enumerate(sent.parts)]
            received = sum(map(len, sent.parts))
        else:
            answers, received = [own.put_side(path, sent.side)], len(sent.side)
        assert {answer.status_code for answer in answers} == {204}
        written = written_bytes(own.process.pid) - before
    assert received <= written <= MOST_WRITTEN * received
