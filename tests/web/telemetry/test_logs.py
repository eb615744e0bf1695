"""Logs: one line per event, whatever is in it."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from driver.models import encoded
from driver.services import Driver

from weightcast.wire.symbols import STAMP
from weightcast_web.telemetry.logs import LONGEST_VALUE, JsonLines, TextLines, tell

EVIL = "x\r\n2026-01-01T00:00:00.000Z info receiver created\x1b[2J\x7f\x85\u2028\u202e\ud800\0"


def line_of(
    formatter: logging.Formatter, event: str, error: Exception | None = None, **fields: Any
) -> str:
    """Return what a formatter makes of an event."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            record.exc_info = (type(error), error, error.__traceback__) if error else None
            lines.append(formatter.format(record))

    log = logging.Logger("test")
    log.addHandler(Keep())
    tell(log, event, **fields)
    return lines[0]


def test_a_line_of_text_has_time_level_service_event_and_fields() -> None:
    line = line_of(TextLines("receiver"), "completed", transmission="0f", parts=3, detail="a b")
    time, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.]\d{3}Z", time)
    assert rest == 'info receiver completed transmission=0f parts=3 detail="a b"'


def test_a_line_of_json_has_the_same() -> None:
    line = json.loads(line_of(JsonLines("link"), "refused", status=409, detail="a b", gone=None))
    assert line.pop("time").endswith("Z")
    expected = {"level": "info", "service": "link", "event": "refused", "status": 409}
    assert line == expected | {"detail": "a b"}


@pytest.mark.parametrize("formatter", [TextLines("x"), JsonLines("x")])
def test_nothing_in_an_event_breaks_its_line_or_makes_it_endless(
    formatter: logging.Formatter,
) -> None:
    line = line_of(formatter, EVIL, detail=EVIL, more="y" * 100_000)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    assert len(line) < 4 * LONGEST_VALUE + 200


@pytest.mark.parametrize("formatter", [TextLines("x"), JsonLines("x")])
def test_no_line_of_a_traceback_looks_like_an_event(formatter: logging.Formatter) -> None:
    line = line_of(formatter, "failed", ValueError(EVIL + "z" * 100_000))
    first, *rest = line.splitlines()
    assert "failed" in first
    assert all(more.startswith("  | ") and more.isprintable() for more in rest)
    assert len(line) < 20_000


def events_in(caplog: pytest.LogCaptureFixture, id_: str) -> list[str]:
    found = [r for r in caplog.records if getattr(r, "fields", {}).get("transmission") == id_]
    return [f"{record.levelname} {record.getMessage()}" for record in found]


def test_the_way_of_a_transmission_is_logged_under_its_id(
    driver: Driver, small_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for package in ("weightcast_server", "weightcast_web"):
        caplog.set_level("DEBUG", package)
    sent = encoded(small_path, "sign-protection")
    with driver.join(tmp_path) as own:
        path = own.receiver.open(sent.header)
        for _ in range(2):
            own.receiver.put_part(path, 0, sent.parts[0], **{STAMP: "awgn"})
            own.receiver.put_side(path, sent.side)
        own.receiver.put_part(path, 0, bytes(4000), **{STAMP: "awgn"})
        for _ in range(2):
            own.receiver.complete(path)
        own.receiver.end_of(path)
        own.receiver.delete(path)
    assert events_in(caplog, path.rpartition("/")[2]) == [
        "INFO created",
        "DEBUG part stored",
        "INFO side stored",
        "DEBUG part repeated",
        "WARNING refused",
        "INFO completed",
        "INFO decoding",
        "INFO decoded",
        "INFO deleted",
    ]
    (refused,) = [vars(r)["fields"] for r in caplog.records if r.getMessage() == "refused"]
    assert (refused["status"], refused["type"]) == (409, "part-differs")
    assert all(TextLines("x").format(record).isprintable() for record in caplog.records)


@pytest.mark.cifar
def test_the_accuracy_is_logged(
    driver: Driver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["send", "--std=0", "--limit=20", "--json"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        receiver = [sys.executable, "-m", "weightcast_server.cli", "run", f"--data={tmp_path}"]
        env = os.environ | {"WEIGHTCAST_SERVER_LOG_FORMAT": "json"}
        process = subprocess.Popen([*receiver, "--port=0"], env=env, stderr=file)
    try:
        while "listening on " not in log.read_text():
            assert process.poll() is None
        url = json.loads(log.read_text().splitlines()[0])["event"].rpartition(" ")[2]
        command = [sys.executable, "-m", "weightcast_client.cli", *words, f"--receiver={url}"]
        ran = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        process.terminate()
        process.wait(30)
    assert ran.stderr == ""
    result = json.loads(ran.stdout)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (evaluated,) = [line for line in lines if line["event"] == "evaluated"]
    assert evaluated["transmission"] == result["transmission"]
    assert evaluated["accuracy"] == result["accuracy"]


def test_whatever_a_service_writes_in_json_is_one_object_per_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    env = os.environ | {"WEIGHTCAST_LINK_LOG_FORMAT": "json", "WEIGHTCAST_LINK_LOG_LEVEL": "debug"}
    with log.open("wb") as file:
        words = ["weightcast_link.cli", "--receiver=http://127.0.0.1:1", "--port=0"]
        process = subprocess.Popen([sys.executable, "-m", *words], env=env, stderr=file)
    while "listening on " not in log.read_text():
        assert process.poll() is None
    url = json.loads(log.read_text().splitlines()[0])["event"].rpartition(" ")[2]
    for path in ("/transmissions", "/%0d%0a", "/health", f"/transmissions/{'0' * 32}"):
        httpx.get(f"{url}{path}")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["service"] for line in lines} == {"link"}
    assert [line["event"] for line in lines if line["level"] == "info"][1:] == [
        "stopping",
        "stopped",
    ]
    refused = [line for line in lines if line["event"] == "refused"]
    assert [line["status"] for line in refused] == [502, 404, 503, 502]
    assert refused[-1]["transmission"] == "0" * 32
    assert refused[1]["path"] == "/\\r\\n"
