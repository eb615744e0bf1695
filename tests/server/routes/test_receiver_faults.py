"""Crashes, full disks, corrupt files, dead and hanging workers: nothing acknowledged is lost."""

import os
import resource
import select
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from weightcast.wire.symbols import STAMP

AWGN = {STAMP: "awgn"}


def deliver(client: httpx.Client, sent: Any, opened: Any, put: Any) -> str:
    """Send all of a transmission but the word that it is complete; return its path."""
    path: str = opened(client, sent.header)
    for n, part in enumerate(sent.parts):
        assert put(client, f"{path}/parts/{n}", part, **AWGN).status_code == 204
    assert put(client, f"{path}/side", sent.side).status_code == 204
    return path


def stop(pid: int) -> None:
    """Freeze a process and wait until it is frozen."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        pass


@pytest.fixture
def worker_of(children: Any) -> Any:
    """A call that returns the only worker of a process, as soon as it is there."""

    def find(pid: int) -> int:
        while True:
            if found := children(pid, "weightcast_server.working.worker"):
                (only,) = found
                return int(only)

    return find


@pytest.mark.parametrize("at", ["before complete", "in mid-decode"])
def test_a_receiver_killed_and_restarted_finishes_what_it_had_acknowledged(
    at: str,
    running: Any,
    worker_of: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    model_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with running(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        path = deliver(client, sent, opened, put)
        worker = worker_of(process.pid)
        stop(worker)
        if at == "in mid-decode":
            assert client.post(f"{path}/complete").status_code == 202
            half = tmp_path / path[1:] / "half-written.new"
            half.write_bytes(b"123")
            os.utime(half, (0, 0))
        process.kill()
        process.wait()
        os.kill(worker, signal.SIGCONT)
    with running(tmp_path) as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        assert client.get(f"{path}/parts").json() == {"parts": [0, 1, 2], "side": True}
        client.post(f"{path}/complete")
        assert finished(client, path)["state"] == "done"
        assert len(client.get("/transmissions").json()["transmissions"]) == 1
        assert not list(tmp_path.glob("transmissions/**/*.new"))
        model = client.get(f"{path}/model").content
    with running(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        stop(worker_of(process.pid))  # What is done is not worked on again.
        assert client.get(path).json()["state"] == "done"
        assert client.get(f"{path}/model").content == model


def test_a_worker_ends_with_its_receiver_even_in_mid_work(
    running: Any, worker_of: Any, tmp_path: Path
) -> None:
    with running(tmp_path) as (process, _):
        worker = worker_of(process.pid)
        watch = os.pidfd_open(worker)
        process.kill()
        # A pidfd becomes readable when its process has ended.
        assert select.select([watch], [], [], 60)[0]
        os.close(watch)


def test_what_belongs_to_no_transmission_is_cleared_away_at_the_start(
    joined: Any, tmp_path: Path
) -> None:
    with joined(tmp_path):
        pass
    orphan = tmp_path / "transmissions" / ("0" * 32) / "parts"
    orphan.mkdir(parents=True)
    (orphan / "1.new").touch()
    os.utime(orphan.parent, (0, 0))
    with joined(tmp_path):
        assert list((tmp_path / "transmissions").iterdir()) == []


@pytest.mark.parametrize("what", ["parts/0.*", "side.*"])
@pytest.mark.parametrize("fault", ["flipped", "missing"])
def test_a_file_that_spoiled_on_disk_fails_the_transmission_and_says_so(
    what: str,
    fault: str,
    joined: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with joined(tmp_path) as own:
        path = deliver(own.receiver, encoded(small_path, "sign-protection"), opened, put)
        (file,) = (tmp_path / path[1:]).glob(what)
        if fault == "missing":
            file.unlink()
            (file.parent / "no part").touch()
        else:
            file.write_bytes(file.read_bytes()[:-4] + b"\0\1\2\3" + b"\0" * ("side" in what))
        answer = own.receiver.post(f"{path}/complete")
        if answer.status_code == 409:
            assert answer.json()["missing_parts"] == ([0] if "parts" in what else [])
            assert answer.json()["missing_side"] == ("side" in what)
            return
        found = finished(own.receiver, path)
        assert found["state"] == "failed"
        assert found["error"]["detail"]
        assert str(tmp_path) not in found["error"]["detail"]
        if what.startswith("parts"):
            assert found["error"]["detail"] == "part 0 is corrupt on disk"
        assert own.receiver.get(f"{path}/model").status_code == 409


def test_a_worker_that_is_killed_is_replaced_and_the_work_is_done(
    joined: Any,
    worker_of: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with joined(tmp_path) as own:
        path = deliver(own.receiver, encoded(small_path), opened, put)
        worker = worker_of(os.getpid())
        stop(worker)
        assert own.receiver.post(f"{path}/complete").status_code == 202
        os.kill(worker, signal.SIGKILL)
        assert finished(own.receiver, path)["state"] == "done"
        assert worker_of(os.getpid()) != worker


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced_and_the_work_is_done(
    joined: Any,
    worker_of: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with joined(tmp_path, worker_silence_s=8) as own:
        path = deliver(own.receiver, encoded(small_path), opened, put)
        worker = worker_of(os.getpid())
        stop(worker)
        assert own.receiver.post(f"{path}/complete").status_code == 202
        assert finished(own.receiver, path)["state"] == "done"
        assert worker_of(os.getpid()) != worker


def test_work_that_kills_every_worker_fails_with_a_reason_and_the_next_one_is_done(
    joined: Any,
    worker_of: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with joined(tmp_path) as own:
        paths = [deliver(own.receiver, encoded(small_path), opened, put) for _ in range(2)]
        worker = worker_of(os.getpid())
        stop(worker)
        for path in paths:
            own.receiver.post(f"{path}/complete")
        os.kill(worker, signal.SIGKILL)
        while (second := worker_of(os.getpid())) == worker:
            pass
        os.kill(second, signal.SIGKILL)
        found = finished(own.receiver, paths[0])
        assert found["state"] == "failed"
        assert found["error"] == {
            "kind": "WorkerDied",
            "detail": "the worker died 2 times over it",
        }
        assert finished(own.receiver, paths[1])["state"] == "done"


@pytest.mark.parametrize("what", ["part", "side"])
def test_a_full_disk_refuses_what_does_not_fit_and_keeps_what_is_there(
    what: str,
    running: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    is_problem: Any,
    model_path: Path,
    tmp_path: Path,
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
    header = type(sent.header)(**header)
    with (
        running(tmp_path, preexec_fn=allow_small_files_only) as (_, url),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        path = opened(client, header)
        assert put(client, f"{path}/parts/2", small, **AWGN).status_code == 204
        target, body = {
            "part": (f"{path}/parts/0", sent.parts[0]),
            "side": (f"{path}/side", sent.side),
        }[what]
        assert is_problem(put(client, target, body, **AWGN), 507, "disk-full")
        assert client.get(f"{path}/parts").json() == {"parts": [2], "side": False}
        (kept,) = (tmp_path / path[1:]).glob("**/*.*")
        assert kept.read_bytes() == small
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize("database", [""], ids=["sqlite"])
@pytest.mark.slow
def test_a_busy_database_is_a_503_and_what_is_queued_is_done_once_it_is_free(
    joined: Any,
    worker_of: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    is_problem: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with joined(tmp_path) as own:
        path = deliver(own.receiver, encoded(small_path), opened, put)
        worker = worker_of(os.getpid())
        stop(worker)
        assert own.receiver.post(f"{path}/complete").status_code == 202
        lock = sqlite3.connect(tmp_path / "receiver.db")
        lock.execute("BEGIN IMMEDIATE")
        os.kill(worker, signal.SIGCONT)
        answer = own.receiver.delete(path)
        assert is_problem(answer, 503, "store-busy")
        assert answer.headers["retry-after"] == "1"
        lock.rollback()
        lock.close()
        assert finished(own.receiver, path)["state"] == "done"
        assert own.receiver.get("/health").status_code == 200
        assert worker_of(os.getpid()) == worker  # What it had done was not lost.


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
def test_a_second_receiver_on_the_same_folder_is_refused(running: Any, tmp_path: Path) -> None:
    with running(tmp_path) as (_, url):
        assert refused(tmp_path) == f"error: another receiver uses the folder '{tmp_path}'\n"
        assert httpx.get(f"{url}/health").json()["status"] == "ready"


def test_a_signal_ends_the_receiver_and_its_worker(
    running: Any, worker_of: Any, tmp_path: Path
) -> None:
    with running(tmp_path) as (process, url):
        assert httpx.get(f"{url}/health").json()["status"] == "ready"
        watch = os.pidfd_open(worker_of(process.pid))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        assert select.select([watch], [], [], 0)[0]
        os.close(watch)
