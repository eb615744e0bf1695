"""The store's contract, the same on SQLite and PostgreSQL: who wins, may write, expires."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest
from driver.store import Clock, store_in
from sqlalchemy import select

from weightcast_server.storing.store import CLOSE_S, Store
from weightcast_server.storing.tables import Row
from weightcast_web.refusal import Refusal

IDS = [f"{n:032x}" for n in range(20)]
ID = IDS[0]
ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def store(database: str, clock: Clock, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    opened = store_in(tmp_path, database, clock)
    yield opened
    opened.close()


@pytest.fixture
def queued(store: Store) -> Store:
    """A store with one transmission in the queue."""
    store.create(ID, "{}", None)
    store.queue(ID)
    return store


def race(one: Callable[[int], Any], n: int) -> list[Any]:
    """Return what ``n`` calls at the same time return or raise."""
    start = threading.Barrier(n)

    def run(i: int) -> Any:
        start.wait()
        try:
            return one(i)
        except Refusal as refusal:
            return refusal.kind

    with ThreadPoolExecutor(n) as threads:
        return list(threads.map(run, range(n)))


def claimed_by(store: Store, who: str) -> tuple[Row, list[str]]:
    """Return what a worker is given, which is something."""
    found = store.claim(who, 9)
    assert found is not None
    return found


def test_of_many_who_claim_at_once_each_gets_another_transmission(store: Store) -> None:
    for id_ in IDS:
        store.create(id_, "{}", None)
        store.queue(id_)
    claimed = race(lambda i: [claimed_by(store, f"{i}"), claimed_by(store, f"{i}")], 8)
    # Who asks again while it holds a claim is given that one again.
    assert all(first.id == again.id for (first, _), (again, _) in claimed)
    assert len({first.id for (first, _), _ in claimed}) == 8


def test_a_claim_is_given_again_though_another_receiver_holds_its_row(store: Store) -> None:
    for id_ in IDS[:2]:
        store.create(id_, "{}", None)
        store.queue(id_)
    assert claimed_by(store, "me")[0].id == IDS[0]
    with ThreadPoolExecutor(1) as threads, store._session() as other:
        other.execute(select(Row).where(Row.id == IDS[0]).with_for_update())
        again = threads.submit(claimed_by, store, "me")
        wait([again], 0.5)
        other.rollback()
        row, _ = again.result()
    assert row.id == IDS[0]


def test_only_the_first_bytes_of_a_part_are_taken(store: Store) -> None:
    store.create(ID, "{}", None)
    outcomes = race(lambda i: store.take_part(ID, 3, f"{i:064x}"), 8)
    assert sorted(outcomes, key=str) == [None] + 7 * ["part-differs"]
    winner = f"{outcomes.index(None):064x}"
    assert store.parts(ID) == {3: winner}
    store.take_part(ID, 3, winner)
    assert store.get(ID).state == "receiving"


def test_only_the_first_side_information_is_taken(store: Store) -> None:
    store.create(ID, "{}", None)
    outcomes = race(lambda i: store.take_side(ID, f"{i:064x}"), 8)
    assert sorted(outcomes, key=str) == [None] + 7 * ["side-differs"]
    winner = f"{outcomes.index(None):064x}"
    assert store.get(ID).side_digest == winner
    store.take_side(ID, winner)


def test_a_claim_gives_the_parts_in_order(store: Store) -> None:
    store.create(ID, "{}", None)
    for n in (10, 2, 0):
        store.take_part(ID, n, f"{n:064x}")
    store.queue(ID)
    claimed = store.claim("me", 9)
    assert claimed is not None and claimed[1] == [f"{n:064x}" for n in (0, 2, 10)]


def test_a_key_that_comes_twice_at_once_opens_one_transmission(store: Store) -> None:
    rows = race(lambda i: store.create(IDS[i], "{}", "key"), 8)
    assert len({row.id for row in rows}) == 1
    assert store.ids() == {rows[0].id}


def test_what_is_queued_takes_repeats_but_nothing_new(store: Store) -> None:
    store.create(ID, "{}", None)
    store.take_part(ID, 0, ONE)
    store.queue(ID)
    store.queue(ID)
    store.take_part(ID, 0, ONE)
    for n, digest in ((0, OTHER), (1, ONE)):
        with pytest.raises(Refusal, match="the transmission is queued"):
            store.take_part(ID, n, digest)
    with pytest.raises(Refusal, match="other side information"):
        store.take_side(ID, ONE)


def test_the_one_that_waited_longest_is_claimed_first(store: Store, clock: Clock) -> None:
    for id_ in reversed(IDS[:3]):
        store.create(id_, "{}", None)
        store.queue(id_)
        clock.now += 1
    for id_ in reversed(IDS[:3]):
        claimed = store.claim("me", 9)
        assert claimed is not None and claimed[0].id == id_
        assert store.finish(id_, "me", "done", report="{}")
    assert store.claim("me", 9) is None


def test_a_claim_is_exclusive_until_its_lease_runs_out(queued: Store, clock: Clock) -> None:
    assert queued.claim("one", 10) is not None
    clock.now += 9
    assert queued.claim("two", 10) is None
    assert queued.note(ID, "one", 10, {"phase": "decoding", "done": 1, "total": 2})
    clock.now += 9
    assert queued.claim("two", 10) is None
    clock.now += 2
    taken = queued.claim("two", 10)
    assert taken is not None and taken[0].state == "decoding"


def test_who_has_lost_its_lease_can_write_nothing(queued: Store, clock: Clock) -> None:
    queued.claim("one", 10)
    clock.now += 11
    queued.claim("two", 10)
    assert not queued.note(ID, "one", 10, None)
    assert queued.count_death(ID, "one") == 0
    assert not queued.finish(ID, "one", "failed", error="{}")
    queued.release("one")
    assert queued.claim("three", 10) is None
    assert queued.finish(ID, "two", "done", report='{"by": "two"}')
    assert not queued.finish(ID, "two", "failed", error="{}")
    row = queued.get(ID)
    assert (row.state, row.report, row.error) == ("done", '{"by": "two"}', None)
    assert row.claimed_by is None


def test_a_late_lease_that_nobody_took_over_is_still_ones_own(queued: Store, clock: Clock) -> None:
    queued.claim("one", 10)
    clock.now += 1000
    assert queued.finish(ID, "one", "done", report="{}")


def test_what_is_released_can_be_claimed_at_once(queued: Store) -> None:
    ways: list[Callable[[], None]] = [lambda: queued.release("one"), queued.free]
    for how in ways:
        assert queued.claim("one", 10) is not None
        assert queued.claim("two", 10) is None
        how()
        assert queued.claim("two", 10) is not None
        queued.release("two")


def test_workers_that_died_are_counted_whoever_counts(queued: Store) -> None:
    for tries, who in enumerate(("one", "two"), start=1):
        queued.claim(who, 10)
        assert queued.count_death(ID, who) == tries
        queued.release(who)


def test_what_is_deleted_is_gone_with_its_parts_and_takes_nothing(queued: Store) -> None:
    queued.create(IDS[1], "{}", None)
    queued.take_part(IDS[1], 0, ONE)
    queued.claim("one", 10)
    for id_ in IDS[:2]:
        queued.delete(id_)
    assert not queued.note(ID, "one", 10, None)
    assert not queued.finish(ID, "one", "done", report="{}")
    assert queued.parts(IDS[1]) == {}
    for call in (
        lambda: queued.take_part(IDS[1], 0, ONE),
        lambda: queued.take_side(IDS[1], ONE),
        lambda: queued.queue(IDS[1]),
        lambda: queued.get(IDS[1]),
    ):
        with pytest.raises(Refusal, match="no such transmission"):
            call()


def test_only_what_nothing_comes_to_expires(store: Store, clock: Clock) -> None:
    for id_ in IDS[:4]:
        store.create(id_, "{}", None)
    store.queue(IDS[3])
    clock.now += 60
    store.take_part(IDS[1], 0, ONE)
    store.take_side(IDS[2], ONE)
    clock.now += 41
    store.expire(100)
    assert [store.get(id_).state for id_ in IDS[:4]] == [
        "expired", "receiving", "receiving", "queued",
    ]  # fmt: skip
    error = store.get(ID).summary()["error"]
    assert error == {"kind": "Expired", "detail": "nothing arrived for 100 s"}
    calls: list[Callable[[], object]] = [
        lambda: store.take_part(ID, 0, ONE),
        lambda: store.take_side(ID, ONE),
        lambda: store.queue(ID),
    ]
    for call in calls:
        with pytest.raises(Refusal, match="has expired") as caught:
            call()
        assert caught.value.status == 410


def test_files_are_outdated_some_time_after_the_end(queued: Store, clock: Clock) -> None:
    queued.create(IDS[1], "{}", None)
    clock.now += 500
    queued.claim("one", 10)
    queued.finish(ID, "one", "done", report="{}")
    clock.now += 99
    assert queued.outdated(100) == []
    clock.now += 2
    assert queued.outdated(100) == [ID]
    queued.expire(100)
    assert set(queued.outdated(1e9)) == {IDS[1]}
    queued.purge(ID)
    assert queued.outdated(100) == [IDS[1]]
    assert queued.get(ID).summary()["report"] == {}


def test_a_store_that_is_closed_lets_calls_end_and_takes_no_more(store: Store) -> None:
    with ThreadPoolExecutor(1) as threads:
        with store._session() as session:
            closing = threads.submit(store.close)
            with pytest.raises(TimeoutError):
                closing.result(timeout=0.1)
            assert session.scalar(select(Row.id)) is None
        began = time.monotonic()
        closing.result()
        assert time.monotonic() - began < CLOSE_S / 2
    with pytest.raises(Refusal, match="is stopping"):
        store.ids()
