"""Several receivers on one PostgreSQL and one data folder: each can take anything, one does it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from weightcast.wire.symbols import STAMP
from weightcast_server.storing.housekeeping import STALE_S, clear

AWGN = {STAMP: "awgn"}
WORKER = "weightcast_server.working.worker"
pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def pair(joined: Any, tmp_path: Path) -> Any:
    """Clients of two receivers in this process."""
    with joined(tmp_path) as one, joined(tmp_path) as two:
        yield one.receiver, two.receiver


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Make calls at the same time and return their answers."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_every_receiver_takes_every_part_and_knows_the_result(
    pair: Any, encoded: Any, opened: Any, put: Any, finished: Any, model_path: Path
) -> None:
    one, two = pair
    sent = encoded(model_path, "adaptive-redundancy")
    path = opened(one, sent.header)
    for client, n in ((two, 2), (one, 0), (two, 1)):
        assert put(client, f"{path}/parts/{n}", sent.parts[n], **AWGN).status_code == 204
    assert one.get(f"{path}/parts").json() == {"parts": [0, 1, 2], "side": False}
    assert put(two, f"{path}/side", sent.side).status_code == 204
    assert one.post(f"{path}/complete").status_code == 202
    at_one, at_two = at_once(partial(finished, one, path), partial(finished, two, path))
    assert at_one == at_two
    assert at_one["state"] == "done"
    assert one.get(f"{path}/model").content == two.get(f"{path}/model").content


def test_a_part_that_comes_to_both_with_other_bytes_is_refused_by_one(
    pair: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    is_problem: Any,
    model_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(model_path)
    path = opened(pair[0], sent.header)
    for n, bodies in ((0, sent.parts[:2]), (1, sent.parts[1::-1])):
        both = zip(pair, bodies, strict=True)
        answers = at_once(*(partial(put, c, f"{path}/parts/{n}", b, **AWGN) for c, b in both))
        taken, refused = sorted(answers, key=lambda answer: answer.status_code)
        assert taken.status_code == 204
        assert is_problem(refused, 409, "part-differs")
        (kept,) = (tmp_path / path[1:] / "parts").glob(f"{n}.*")
        assert kept.read_bytes() == bodies[answers.index(taken)]
    assert not list((tmp_path / path[1:]).glob("**/*.new"))


def test_side_information_that_comes_to_both_with_other_bytes_is_refused_by_one(
    pair: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    is_problem: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(small_path, "sign-protection")
    other = bytearray(sent.side)
    other[-30] ^= 1
    bodies = sent.side, bytes(other)
    path = opened(pair[0], sent.header)
    both = zip(pair, bodies, strict=True)
    answers = at_once(*(partial(put, c, f"{path}/side", b) for c, b in both))
    taken, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert taken.status_code == 204
    assert is_problem(refused, 409, "side-differs")
    (kept,) = (tmp_path / path[1:]).glob("side.*")
    assert kept.read_bytes() == bodies[answers.index(taken)]


def test_progress_and_result_of_another_receiver_are_told(
    joined: Any, store: Any, encoded: Any, opened: Any, put: Any, small_path: Path, tmp_path: Path
) -> None:
    header = encoded(small_path).header
    id_, progress = "a" * 32, {"phase": "decoding", "done": 1, "total": 2}
    store.create(id_, header.to_bytes().decode(), None)
    store.queue(id_)
    store.claim("another", 60)
    store.note(id_, "another", 60, progress)
    with joined(tmp_path) as own:
        path = f"/transmissions/{id_}"
        assert own.receiver.get(path).json()["progress"] == progress
        end = threading.Timer(0.1, store.finish, (id_, "another", "done"), {"report": "{}"})
        end.start()
        events = own.receiver.get(f"{path}/events").text.strip().split("\n\n")
        first, last = (json.loads(event.removeprefix("data: ")) for event in events)
        assert (first["state"], first["progress"]) == ("decoding", progress)
        assert (last["state"], last["progress"], last["report"]) == ("done", None, {})
        end.join()


def test_what_is_deleted_at_another_receiver_is_worked_on_no_more(
    eventually: Any,
    claimant: Any,
    stop: Any,
    pair: Any,
    children: Any,
    delivered: Any,
    finished: Any,
    encoded: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(small_path)
    workers = eventually(lambda: len(found := children(os.getpid(), WORKER)) == 2 and found)
    for worker in workers:
        stop(worker)
    paths = [delivered(client, sent) for client in pair]
    for path in paths:
        eventually(partial(claimant, path))
    for path, other in zip(paths, reversed(pair), strict=True):
        assert other.delete(path).status_code == 204
    # Both drop what is gone and the frozen workers with it.
    eventually(lambda: not set(workers) & set(children(os.getpid(), WORKER)))
    assert list((tmp_path / "transmissions").iterdir()) == []
    assert finished(pair[0], delivered(pair[1], sent))["state"] == "done"


def test_the_work_of_a_receiver_killed_in_mid_decode_is_taken_over_and_done_once(
    eventually: Any,
    claimant: Any,
    running: Any,
    opened: Any,
    put: Any,
    delivered: Any,
    finished: Any,
    encoded: Any,
    model_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with running(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        done = finished(client, delivered(client, sent))  # What comes out when nothing happens.
        path = opened(client, sent.header)
        for n, part in enumerate(sent.parts):
            assert put(client, f"{path}/parts/{n}", part, **AWGN).status_code == 204
        assert put(client, f"{path}/side", sent.side).status_code == 204
        (file,) = (tmp_path / path[1:] / "parts").glob("1.*")
        file.rename(tmp_path / "kept")
        os.mkfifo(file)  # The worker waits for what does not come.
        assert client.post(f"{path}/complete").status_code == 202
        eventually(lambda: client.get(path).json()["state"] == "decoding")
        first = claimant(path)
        with running(tmp_path) as (_, url), httpx.Client(base_url=url, timeout=60) as other:
            process.kill()
            (tmp_path / "kept").rename(file)
            assert other.get(path).json()["progress"]["phase"] == "decoding"
            assert claimant(path) == first
            found = finished(other, path)
            assert found["state"] == "done"
            assert found["report"]["weights_digest"] == done["report"]["weights_digest"]
            assert len(other.get("/transmissions").json()["transmissions"]) == 2


def test_a_receiver_that_was_away_for_longer_than_its_lease_writes_nothing(
    eventually: Any,
    claimant: Any,
    stop: Any,
    running: Any,
    children: Any,
    delivered: Any,
    finished: Any,
    encoded: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with running(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        (worker,) = eventually(partial(children, process.pid, WORKER))
        stop(worker)
        path = delivered(client, encoded(small_path))
        eventually(partial(claimant, path))
        stop(process.pid)
        with running(tmp_path) as (_, url), httpx.Client(base_url=url, timeout=60) as other:
            found = finished(other, path)
            assert found["state"] == "done"
        os.kill(process.pid, signal.SIGCONT)
        # It finds that it has lost the work, and ends the worker that still holds it.
        eventually(lambda: worker not in children(process.pid, WORKER))
        assert client.get(path).json() == found


def test_a_receiver_that_stops_hands_its_work_over_at_once(
    eventually: Any,
    claimant: Any,
    stop: Any,
    running: Any,
    children: Any,
    delivered: Any,
    encoded: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with running(tmp_path) as (process, url), httpx.Client(base_url=url, timeout=60) as client:
        (worker,) = eventually(partial(children, process.pid, WORKER))
        stop(worker)
        path = delivered(client, encoded(small_path))
        eventually(partial(claimant, path))
        process.terminate()
        process.wait(timeout=30)
        assert claimant(path) is None


def test_clearing_a_shared_folder_leaves_what_may_be_in_the_making(
    store: Any, tmp_path: Path
) -> None:
    root = tmp_path / "transmissions"
    store.create("a" * 32, "{}", None)
    for name, age_s in (("a", 0), ("b", 0), ("c", STALE_S + 1)):
        parts = root / (name * 32) / "parts"
        parts.mkdir(parents=True)
        (parts / "young.new").touch()
        (parts / "old.new").touch()
        os.utime(parts / "old.new", (0, 0))
        os.utime(parts.parent, (time.time() - age_s,) * 2)
    clear(store, root, STALE_S)
    left = sorted(str(path.relative_to(root)) for path in root.glob("*/parts/*"))
    assert left == [f"{name * 32}/parts/young.new" for name in "ab"]


def test_a_receiver_without_the_database_is_kept_out_of_a_shared_folder(
    running: Any, tmp_path: Path
) -> None:
    with running(tmp_path), running(tmp_path) as (_, url):
        assert httpx.get(f"{url}/health").json()["status"] == "ready"
        words = ["weightcast_server.cli", "run", f"--data={tmp_path}", "--no-evaluate", "--port=0"]
        alone = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60
        )
    assert alone.returncode == 2
    assert alone.stderr.startswith("error: another receiver uses the folder")


def test_a_receiver_that_starts_leaves_what_another_is_writing(
    joined: Any, encoded: Any, opened: Any, small_path: Path, tmp_path: Path
) -> None:
    with joined(tmp_path) as one:
        path = opened(one.receiver, encoded(small_path).header)
        half = tmp_path / path[1:] / "parts" / "half.new"
        half.touch()
        with joined(tmp_path):
            assert half.exists()
