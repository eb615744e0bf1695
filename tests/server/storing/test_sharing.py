"""Several receivers on one PostgreSQL and one data folder: each can take anything, one does it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from driver.calls import AWGN, Caller, is_problem
from driver.models import encoded
from driver.processes import RECEIVERS_WORKER, children, freeze, go_on, until, workers_of
from driver.services import Driver
from driver.store import Claimant

from weightcast_server.storing.housekeeping import STALE_S, delete_leftovers
from weightcast_server.storing.store import Store

T = TypeVar("T")
Pair = tuple[Caller, Caller]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]


@pytest.fixture
def pair(driver: Driver, tmp_path: Path) -> Iterator[Pair]:
    """Clients of two receivers in this process."""
    with driver.join(tmp_path) as one, driver.join(tmp_path) as two:
        yield one.receiver, two.receiver


def at_once(*calls: Callable[[], T]) -> list[T]:
    """Make calls at the same time and return their answers."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        start.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def test_every_receiver_takes_every_part_and_knows_the_result(pair: Pair, model_path: Path) -> None:
    one, two = pair
    sent = encoded(model_path, "adaptive-redundancy")
    path = one.open(sent.header)
    for client, n in ((two, 2), (one, 0), (two, 1)):
        assert client.put_part(path, n, sent.parts[n], **AWGN).status_code == 204
    assert one.there(path) == {"parts": [0, 1, 2], "side": False}
    assert two.put_side(path, sent.side).status_code == 204
    assert one.complete(path).status_code == 202
    at_one, at_two = at_once(partial(one.end_of, path), partial(two.end_of, path))
    assert at_one == at_two
    assert at_one["state"] == "done"
    assert one.get(f"{path}/model").content == two.get(f"{path}/model").content


def test_a_part_that_comes_to_both_with_other_bytes_is_refused_by_one(
    pair: Pair, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path)
    path = pair[0].open(sent.header)
    for n, bodies in ((0, sent.parts[:2]), (1, sent.parts[1::-1])):
        both = zip(pair, bodies, strict=True)
        answers = at_once(*(partial(c.put_part, path, n, b, **AWGN) for c, b in both))
        taken, refused = sorted(answers, key=lambda answer: answer.status_code)
        assert taken.status_code == 204
        assert is_problem(refused, 409, "part-differs")
        (kept,) = (tmp_path / path[1:] / "parts").glob(f"{n}.*")
        assert kept.read_bytes() == bodies[answers.index(taken)]
    assert not list((tmp_path / path[1:]).glob("**/*.new"))


def test_side_information_that_comes_to_both_with_other_bytes_is_refused_by_one(
    pair: Pair, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path, "sign-protection")
    other = bytearray(sent.side)
    other[-30] ^= 1
    bodies = sent.side, bytes(other)
    path = pair[0].open(sent.header)
    both = zip(pair, bodies, strict=True)
    answers = at_once(*(partial(c.put_side, path, b) for c, b in both))
    taken, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert taken.status_code == 204
    assert is_problem(refused, 409, "side-differs")
    (kept,) = (tmp_path / path[1:]).glob("side.*")
    assert kept.read_bytes() == bodies[answers.index(taken)]


def test_progress_and_result_of_another_receiver_are_told(
    driver: Driver, store: Store, small_path: Path, tmp_path: Path
) -> None:
    header = encoded(small_path).header
    id_, progress = "a" * 32, {"phase": "decoding", "done": 1, "total": 2}
    store.create(id_, header.to_bytes().decode(), None)
    store.queue(id_)
    store.claim("another", 60)
    store.note(id_, "another", 60, progress)
    with driver.join(tmp_path) as own:
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
    claimant: Claimant, pair: Pair, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    workers = workers_of(os.getpid(), 2)
    for worker in workers:
        freeze(worker)
    paths = [client.deliver_all(sent, **AWGN) for client in pair]
    for path in paths:
        until(partial(claimant, path))
    for path, other in zip(paths, reversed(pair), strict=True):
        assert other.delete(path).status_code == 204
    # Both drop what is gone and the frozen workers with it.
    until(lambda: not set(workers) & set(children(os.getpid(), RECEIVERS_WORKER)))
    assert list((tmp_path / "transmissions").iterdir()) == []
    assert pair[0].end_of(pair[1].deliver_all(sent, **AWGN))["state"] == "done"


def test_the_work_of_a_receiver_killed_in_mid_decode_is_taken_over_and_done_once(
    claimant: Claimant, driver: Driver, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with driver.receiver(tmp_path) as one:
        # What comes out when nothing happens.
        done = one.end_of(one.deliver_all(sent, **AWGN))
        path = one.deliver(sent, **AWGN)
        (file,) = (tmp_path / path[1:] / "parts").glob("1.*")
        file.rename(tmp_path / "kept")
        os.mkfifo(file)  # The worker waits for what does not come.
        assert one.complete(path).status_code == 202
        until(lambda: one.get(path).json()["state"] == "decoding")
        first = claimant(path)
        with driver.receiver(tmp_path) as other:
            one.process.kill()
            (tmp_path / "kept").rename(file)
            assert other.get(path).json()["progress"]["phase"] == "decoding"
            assert claimant(path) == first
            found = other.end_of(path)
            assert found["state"] == "done"
            assert found["report"]["weights_digest"] == done["report"]["weights_digest"]
            assert len(other.listed()) == 2


def test_a_receiver_that_was_away_for_longer_than_its_lease_writes_nothing(
    claimant: Claimant, driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    with driver.receiver(tmp_path) as one:
        worker = one.worker()
        freeze(worker)
        path = one.deliver_all(encoded(small_path), **AWGN)
        until(partial(claimant, path))
        freeze(one.process.pid)
        with driver.receiver(tmp_path) as other:
            found = other.end_of(path)
            assert found["state"] == "done"
        go_on(one.process.pid)
        # It finds that it has lost the work, and ends the worker that still holds it.
        until(lambda: worker not in children(one.process.pid, RECEIVERS_WORKER))
        assert one.get(path).json() == found


def test_a_receiver_that_stops_hands_its_work_over_at_once(
    claimant: Claimant, driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    with driver.receiver(tmp_path) as one:
        worker = one.worker()
        freeze(worker)
        path = one.deliver_all(encoded(small_path), **AWGN)
        until(partial(claimant, path))
        one.stop()
        assert claimant(path) is None


def test_clearing_a_shared_folder_leaves_what_may_be_in_the_making(
    store: Store, tmp_path: Path
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
    delete_leftovers(store, root, STALE_S)
    left = sorted(str(path.relative_to(root)) for path in root.glob("*/parts/*"))
    assert left == [f"{name * 32}/parts/young.new" for name in "ab"]


def test_a_receiver_without_the_database_is_kept_out_of_a_shared_folder(
    driver: Driver, tmp_path: Path
) -> None:
    with driver.receiver(tmp_path), driver.receiver(tmp_path) as other:
        assert other.get("/health").json()["status"] == "ready"
        words = ["weightcast_server.cli", "run", f"--data={tmp_path}", "--no-evaluate", "--port=0"]
        alone = subprocess.run(
            [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60
        )
    assert alone.returncode == 2
    assert alone.stderr.startswith("error: another receiver uses the folder")


def test_a_receiver_that_starts_leaves_what_another_is_writing(
    driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    with driver.join(tmp_path) as one:
        path = one.receiver.open(encoded(small_path).header)
        half = tmp_path / path[1:] / "parts" / "half.new"
        half.touch()
        with driver.join(tmp_path):
            assert half.exists()
