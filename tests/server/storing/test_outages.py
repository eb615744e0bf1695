"""PostgreSQL goes away and comes back: 503 meanwhile, nothing lost, no restart needed."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from driver.calls import AWGN, is_problem, transport_over
from driver.models import encoded
from driver.postgres import Postgres
from driver.processes import freeze, go_on, until, worker_of
from driver.services import Driver
from driver.store import Claimant

from weightcast_server.app import POLL_S
from weightcast_server.storing.store import Store

Outage = Callable[[], AbstractContextManager[None]]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize("database", ["postgresql"], indirect=True),
]


@pytest.fixture
def outage(postgres: Postgres) -> Outage:
    """A context in which PostgreSQL does not run."""

    @contextmanager
    def down() -> Iterator[None]:
        postgres.stop()
        try:
            yield
        finally:
            postgres.start()

    return down


def test_while_the_database_is_down_every_call_is_a_503_and_then_all_is_there(
    driver: Driver, outage: Outage, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with driver.join(tmp_path) as own:
        receiver = own.receiver
        path = receiver.open(sent.header)
        assert receiver.put_part(path, 1, sent.parts[1], **AWGN).status_code == 204
        calls: list[Callable[[], httpx.Response]] = [
            lambda: receiver.get("/transmissions"),
            lambda: receiver.create(sent.header),
            lambda: receiver.put_part(path, 0, sent.parts[0], **AWGN),
            lambda: own.link.put_part(path, 0, sent.parts[0]),
            lambda: own.link.put_side(path, sent.side),
            lambda: receiver.put_side(path, sent.side),
            lambda: receiver.complete(path),
            lambda: receiver.delete(path),
            *(
                lambda name=name: receiver.get(f"{path}{name}")
                for name in ("", "/parts", "/header", "/events", "/model")
            ),
        ]
        with outage():
            for call in calls:
                answer = call()
                assert is_problem(answer, 503, "store-busy")
                assert answer.headers["retry-after"] == "1"
        assert receiver.there(path) == {"parts": [1], "side": False}
        for n in (0, 2):
            assert receiver.put_part(path, n, sent.parts[n], **AWGN).status_code == 204
        assert receiver.put_side(path, sent.side).status_code == 204
        with outage():
            pass  # The connections that the pool holds are dead now.
        assert receiver.complete(path).status_code == 202
        assert receiver.end_of(path)["state"] == "done"
        assert len(receiver.listed()) == 1


def test_connections_that_an_outage_cut_are_replaced_unseen(store: Store, outage: Outage) -> None:
    assert store.ids() == set()
    with outage():
        pass
    assert store.ids() == set()


def test_a_sender_sits_out_an_outage_in_mid_send(
    driver: Driver, postgres: Postgres, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with driver.join(tmp_path) as own:
        # The database comes back when the sender has been refused twice.
        answers: list[int] = []

        class Road(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                answer = own.road.handle_request(request)
                answers.append(answer.status_code)
                if answers[-2:] == [503, 503]:
                    postgres.start()
                return answer

        transport = transport_over(Road())
        id_ = transport.create(sent.header.to_bytes(), "key")
        transport.put_part(id_, 0, memoryview(sent.parts[0]))
        postgres.stop()
        transport.put_part(id_, 1, memoryview(sent.parts[1]))
        assert answers == [201, 204, 503, 503, 204]
        assert transport.arrived(id_)["parts"] == [0, 1]
        transport.close()


def test_a_result_that_is_there_during_an_outage_is_written_afterwards(
    driver: Driver, outage: Outage, claimant: Claimant, small_path: Path, tmp_path: Path
) -> None:
    with driver.join(tmp_path) as own:
        worker = worker_of(os.getpid())
        freeze(worker)
        path = own.receiver.deliver_all(encoded(small_path), **AWGN)
        until(partial(claimant, path))
        with outage():
            go_on(worker)
            model = tmp_path / path[1:] / "model.safetensors"
            until(model.exists)
            first = model.stat().st_ino
        assert own.receiver.end_of(path)["state"] == "done"
        assert worker_of(os.getpid()) == worker
        assert model.stat().st_ino == first  # It was decoded once.


def test_an_outage_does_not_end_the_events(
    driver: Driver, outage: Outage, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    with driver.receiver(tmp_path) as receiver:
        path = receiver.open(sent.header)
        with receiver.stream("GET", f"{path}/events") as answer:
            lines = (line for line in answer.iter_lines() if line)
            assert '"state": "created"' in next(lines)
            with outage():
                end = time.monotonic() + 2 * POLL_S
                while time.monotonic() < end:
                    assert receiver.get(path).status_code == 503
            assert receiver.put_part(path, 0, sent.parts[0], **AWGN).status_code == 204
            assert '"state": "receiving"' in next(lines)


@pytest.mark.slow
def test_a_row_that_somebody_locks_is_a_503_in_bounded_time(
    driver: Driver, postgres: Postgres, database: str, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path)
    with driver.join(tmp_path) as own, postgres.connect(database.rpartition("/")[2]) as lock:
        path = own.receiver.open(sent.header)
        with lock.transaction():
            lock.execute("SELECT * FROM transmissions FOR UPDATE")
            answer = own.receiver.put_part(path, 0, sent.parts[0], **AWGN)
            assert is_problem(answer, 503, "store-busy")
        assert own.receiver.put_part(path, 0, sent.parts[0], **AWGN).status_code == 204
