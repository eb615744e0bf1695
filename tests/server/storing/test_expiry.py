"""What is abandoned expires, what is over gives its space back, and results stay."""

import time
from pathlib import Path
from typing import Any

import pytest

from weightcast.wire.symbols import STAMP
from weightcast_server.settings import Settings
from weightcast_server.storing.database import open_store
from weightcast_server.storing.housekeeping import sweep

AWGN = {STAMP: "awgn"}
KEPT = Settings(keep_unfinished_s=100, keep_finished_s=1000)


@pytest.fixture
def sweep_later(database: str, clock: Any, tmp_path: Path) -> Any:
    """A call that sweeps so many seconds from now."""

    def call(seconds: float) -> None:
        clock.now = time.time() + seconds
        store = open_store(Settings(data=tmp_path, database=database), clock)
        sweep(store, tmp_path / "transmissions", KEPT)
        store.close()

    return call


def n_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_an_abandoned_transmission_expires_and_its_space_comes_back(
    joined: Any,
    sweep_later: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    is_problem: Any,
    model_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    root = tmp_path / "transmissions"
    with joined(tmp_path) as own:
        receiver = own.receiver
        path = opened(receiver, sent.header)
        other = opened(receiver, sent.header)
        assert put(receiver, f"{path}/parts/0", sent.parts[0], **AWGN).status_code == 204
        assert put(receiver, f"{path}/side", sent.side).status_code == 204
        sweep_later(99)
        assert receiver.get(path).json()["state"] == "receiving"
        assert n_bytes(root) == len(sent.parts[0]) + len(sent.side)
        sweep_later(101)
        found = receiver.get(path).json()
        assert found["state"] == "expired"
        assert found["error"] == {"kind": "Expired", "detail": "nothing arrived for 100 s"}
        assert receiver.get(other).json()["state"] == "expired"
        assert list(root.iterdir()) == []
        for answer in (
            put(receiver, f"{path}/parts/0", sent.parts[0], **AWGN),
            put(receiver, f"{path}/parts/1", sent.parts[1], **AWGN),
            put(receiver, f"{path}/side", sent.side),
            receiver.post(f"{path}/complete"),
            receiver.get(f"{path}/parts"),
            receiver.get(f"{path}/model"),
        ):
            assert is_problem(answer, 410, "expired")
        assert '"state": "expired"' in receiver.get(f"{path}/events").text
        assert list(root.iterdir()) == []
        assert receiver.delete(path).status_code == 204


def test_the_files_of_what_is_over_are_deleted_after_a_while_and_its_result_stays(
    joined: Any,
    sweep_later: Any,
    encoded: Any,
    delivered: Any,
    put: Any,
    finished: Any,
    is_problem: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(small_path)
    with joined(tmp_path) as own:
        path = delivered(own.receiver, sent)
        found = finished(own.receiver, path)
        sweep_later(999)
        assert own.receiver.get(f"{path}/model").status_code == 200
        sweep_later(1001)
        assert list((tmp_path / "transmissions").iterdir()) == []
        assert is_problem(own.receiver.get(f"{path}/model"), 410, "expired")
        assert own.receiver.get(path).json() == found
        assert put(own.receiver, f"{path}/parts/0", sent.parts[0], **AWGN).status_code == 204
        assert put(own.receiver, f"{path}/side", sent.side).status_code == 204
        assert own.receiver.post(f"{path}/complete").json()["state"] == "done"
        assert list((tmp_path / "transmissions").iterdir()) == []


def test_a_receiver_sweeps_by_itself(
    joined: Any, encoded: Any, opened: Any, eventually: Any, small_path: Path, tmp_path: Path
) -> None:
    with joined(tmp_path) as own:
        path = opened(own.receiver, encoded(small_path).header)
    with joined(tmp_path, keep_unfinished_s=1e-6) as own:
        eventually(lambda: own.receiver.get(path).json()["state"] == "expired")
