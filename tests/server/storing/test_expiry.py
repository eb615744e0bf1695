"""What is abandoned expires, what is over gives its space back, and results stay."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver.calls import AWGN, is_problem
from driver.models import encoded
from driver.processes import until
from driver.services import Driver
from driver.store import Clock, store_in

from weightcast_server.settings import Settings
from weightcast_server.storing.housekeeping import delete_outdated

KEPT = Settings(keep_unfinished_s=100, keep_finished_s=1000)


@pytest.fixture
def sweep_later(database: str, clock: Clock, tmp_path: Path) -> Callable[[float], None]:
    """A call that sweeps so many seconds from now."""

    def call(seconds: float) -> None:
        clock.now = time.time() + seconds
        store = store_in(tmp_path, database, clock)
        delete_outdated(store, tmp_path / "transmissions", KEPT)
        store.close()

    return call


def n_bytes(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_an_abandoned_transmission_expires_and_its_space_comes_back(
    driver: Driver, sweep_later: Callable[[float], None], model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    root = tmp_path / "transmissions"
    with driver.join(tmp_path) as own:
        receiver = own.receiver
        path = receiver.open(sent.header)
        other = receiver.open(sent.header)
        assert receiver.put_part(path, 0, sent.parts[0], **AWGN).status_code == 204
        assert receiver.put_side(path, sent.side).status_code == 204
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
            receiver.put_part(path, 0, sent.parts[0], **AWGN),
            receiver.put_part(path, 1, sent.parts[1], **AWGN),
            receiver.put_side(path, sent.side),
            receiver.complete(path),
            receiver.get(f"{path}/parts"),
            receiver.get(f"{path}/model"),
        ):
            assert is_problem(answer, 410, "expired")
        assert '"state": "expired"' in receiver.get(f"{path}/events").text
        assert list(root.iterdir()) == []
        assert receiver.delete(path).status_code == 204


def test_the_files_of_what_is_over_are_deleted_after_a_while_and_its_result_stays(
    driver: Driver, sweep_later: Callable[[float], None], small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    with driver.join(tmp_path) as own:
        path = own.receiver.deliver_all(sent, **AWGN)
        found = own.receiver.end_of(path)
        sweep_later(999)
        assert own.receiver.get(f"{path}/model").status_code == 200
        sweep_later(1001)
        assert list((tmp_path / "transmissions").iterdir()) == []
        assert is_problem(own.receiver.get(f"{path}/model"), 410, "expired")
        assert own.receiver.get(path).json() == found
        assert own.receiver.put_part(path, 0, sent.parts[0], **AWGN).status_code == 204
        assert own.receiver.put_side(path, sent.side).status_code == 204
        assert own.receiver.complete(path).json()["state"] == "done"
        assert list((tmp_path / "transmissions").iterdir()) == []


def test_a_receiver_sweeps_by_itself(driver: Driver, small_path: Path, tmp_path: Path) -> None:
    with driver.join(tmp_path) as own:
        path = own.receiver.open(encoded(small_path).header)
    with driver.join(tmp_path, keep_unfinished_s=1e-6) as own:
        until(lambda: own.receiver.get(path).json()["state"] == "expired")
