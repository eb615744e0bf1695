"""Crashes, full disks, corrupt files, dead and hanging workers: nothing acknowledged is lost."""

import os
import resource
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from driver.calls import AWGN, is_problem
from driver.joined import Services
from driver.models import encoded
from driver.processes import freeze, go_on, until, worker_of
from driver.services import Driver


@pytest.mark.parametrize(
    "at", ["in mid-decode", pytest.param("before complete", marks=pytest.mark.slow)]
)
def test_a_receiver_killed_and_restarted_finishes_what_it_had_acknowledged(
    at: str, driver: Driver, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with driver.receiver(tmp_path) as first:
        path = first.deliver(sent, **AWGN)
        worker = first.worker()
        freeze(worker)
        if at == "in mid-decode":
            assert first.complete(path).status_code == 202
            half = tmp_path / path[1:] / "half-written.new"
            half.write_bytes(b"123")
            os.utime(half, (0, 0))
        first.kill()
        go_on(worker)
    with driver.receiver(tmp_path) as second:
        assert second.there(path) == {"parts": [0, 1, 2], "side": True}
        second.complete(path)
        assert second.end_of(path)["state"] == "done"
        assert len(second.listed()) == 1
        assert not list(tmp_path.glob("transmissions/**/*.new"))
        model = second.get(f"{path}/model").content
    with driver.receiver(tmp_path) as third:
        freeze(third.worker())  # What is done is not worked on again.
        assert third.get(path).json()["state"] == "done"
        assert third.get(f"{path}/model").content == model


def ends(process: int, within_s: float) -> bool:
    """Whether the process of a pidfd, which becomes readable then, ends; closes it."""
    ended = select.select([process], [], [], within_s)[0]
    os.close(process)
    return bool(ended)


def test_a_worker_ends_with_its_receiver_even_in_mid_work(driver: Driver, tmp_path: Path) -> None:
    with driver.receiver(tmp_path) as receiver:
        worker = os.pidfd_open(receiver.worker())
        receiver.process.kill()
        assert ends(worker, 60)


def test_what_belongs_to_no_transmission_is_cleared_away_at_the_start(
    driver: Driver, tmp_path: Path
) -> None:
    with driver.join(tmp_path):
        pass
    orphan = tmp_path / "transmissions" / ("0" * 32) / "parts"
    orphan.mkdir(parents=True)
    (orphan / "1.new").touch()
    os.utime(orphan.parent, (0, 0))
    with driver.join(tmp_path):
        assert list((tmp_path / "transmissions").iterdir()) == []


@pytest.fixture
def own(driver: Driver, tmp_path: Path) -> Iterator[Services]:
    """A link and a receiver in this process, whose data is in `tmp_path`."""
    with driver.join(tmp_path) as services:
        yield services


@pytest.fixture
def frozen(own: Services) -> int:
    """The worker of `own`, which stands still."""
    worker = worker_of(os.getpid())
    freeze(worker)
    return worker


@pytest.mark.parametrize("what", ["parts/0.*", "side.*"])
@pytest.mark.parametrize("fault", ["flipped", "missing"])
def test_a_file_that_spoiled_on_disk_fails_the_transmission_and_says_so(
    what: str, fault: str, own: Services, small_path: Path, tmp_path: Path
) -> None:
    path = own.receiver.deliver(encoded(small_path, "sign-protection"), **AWGN)
    (file,) = (tmp_path / path[1:]).glob(what)
    if fault == "missing":
        file.unlink()
        (file.parent / "no part").touch()
    else:
        file.write_bytes(file.read_bytes()[:-4] + b"\0\1\2\3" + b"\0" * ("side" in what))
    answer = own.receiver.complete(path)
    if answer.status_code == 409:
        assert answer.json()["missing_parts"] == ([0] if "parts" in what else [])
        assert answer.json()["missing_side"] == ("side" in what)
        return
    found = own.receiver.end_of(path)
    assert found["state"] == "failed"
    assert found["error"]["detail"]
    assert str(tmp_path) not in found["error"]["detail"]
    if what.startswith("parts"):
        assert found["error"]["detail"] == "part 0 is corrupt on disk"
    assert own.receiver.get(f"{path}/model").status_code == 409


def kill(worker: int) -> None:
    os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize(
    ("trouble", "settings"),
    [
        pytest.param(kill, {}, id="killed"),
        pytest.param(freeze, {"worker_silence_s": 8}, id="hanging", marks=pytest.mark.slow),
    ],
)
def test_a_worker_that_is_killed_or_hangs_is_replaced_and_the_work_is_done(
    trouble: Callable[[int], None],
    settings: dict[str, Any],
    driver: Driver,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with driver.join(tmp_path, **settings) as own:
        path = own.receiver.deliver(encoded(small_path), **AWGN)
        worker = worker_of(os.getpid())
        freeze(worker)
        assert own.receiver.complete(path).status_code == 202
        trouble(worker)
        assert own.receiver.end_of(path)["state"] == "done"
        assert worker_of(os.getpid()) != worker


def test_work_that_kills_every_worker_fails_with_a_reason_and_the_next_one_is_done(
    own: Services, frozen: int, small_path: Path
) -> None:
    sent = encoded(small_path)
    paths = [own.receiver.deliver_all(sent, **AWGN) for _ in range(2)]
    kill(frozen)
    kill(until(lambda: (second := worker_of(os.getpid())) != frozen and second))
    found = own.receiver.end_of(paths[0])
    assert found["state"] == "failed"
    assert found["error"] == {"kind": "WorkerDied", "detail": "the worker died 2 times over it"}
    assert own.receiver.end_of(paths[1])["state"] == "done"


@pytest.mark.parametrize("what", ["part", "side"])
def test_a_full_disk_refuses_what_does_not_fit_and_keeps_what_is_there(
    what: str, driver: Driver, model_path: Path, tmp_path: Path
) -> None:
    def allow_small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    sent = encoded(model_path, "sign-protection")
    small = sent.parts[2][: 4 * 30_000]
    header = sent.header.model_dump()
    n_weights = 2 * (1 << 20) + 30_000
    header |= {"n_weights": n_weights, "n_symbols": n_weights, "carried": []}
    header |= {"weights": [("w", "F32", [n_weights])]}
    header |= {"plan": header["plan"] | {"n_weights": n_weights}}
    with driver.receiver(tmp_path, prepare=allow_small_files_only) as receiver:
        path = receiver.open(type(sent.header)(**header))
        assert receiver.put_part(path, 2, small, **AWGN).status_code == 204
        if what == "part":
            answer = receiver.put_part(path, 0, sent.parts[0], **AWGN)
        else:
            answer = receiver.put_side(path, sent.side)
        assert is_problem(answer, 507, "disk-full")
        assert receiver.there(path) == {"parts": [2], "side": False}
        (kept,) = (tmp_path / path[1:]).glob("**/*.*")
        assert kept.read_bytes() == small
        assert receiver.get("/health").status_code == 200


@pytest.mark.parametrize("database", [""], ids=["sqlite"])
@pytest.mark.slow
def test_a_busy_database_is_a_503_and_what_is_queued_is_done_once_it_is_free(
    own: Services, frozen: int, small_path: Path, tmp_path: Path
) -> None:
    path = own.receiver.deliver_all(encoded(small_path), **AWGN)
    lock = sqlite3.connect(tmp_path / "receiver.db")
    lock.execute("BEGIN IMMEDIATE")
    go_on(frozen)
    answer = own.receiver.delete(path)
    assert is_problem(answer, 503, "store-busy")
    assert answer.headers["retry-after"] == "1"
    lock.rollback()
    lock.close()
    assert own.receiver.end_of(path)["state"] == "done"
    assert own.receiver.get("/health").status_code == 200
    assert worker_of(os.getpid()) == frozen  # What it had done was not lost.


def refused(data: Path) -> str:
    """Return the one line with which a receiver refuses a data folder."""
    ran = subprocess.run(
        [sys.executable, "-m", "weightcast_server.cli", "run", f"--data={data}", "--port=0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    return ran.stderr


def test_a_folder_whose_database_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "receiver.db").write_bytes(b"this is no database" * 100)
    assert refused(tmp_path).startswith("error: cannot open the database in ")


def test_a_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file/data").startswith("error: cannot use the folder ")


@pytest.mark.parametrize("database", [""], ids=["sqlite"])
def test_a_second_receiver_on_the_same_folder_is_refused(driver: Driver, tmp_path: Path) -> None:
    with driver.receiver(tmp_path) as receiver:
        assert refused(tmp_path) == f"error: another receiver uses the folder '{tmp_path}'\n"
        assert receiver.get("/health").json()["status"] == "ready"


def test_a_signal_ends_the_receiver_and_its_worker(driver: Driver, tmp_path: Path) -> None:
    with driver.receiver(tmp_path) as receiver:
        assert receiver.get("/health").json()["status"] == "ready"
        worker = os.pidfd_open(receiver.worker())
        receiver.stop()
        assert ends(worker, 0)
