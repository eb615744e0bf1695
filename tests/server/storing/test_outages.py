"""PostgreSQL goes away and comes back: 503 meanwhile, nothing lost, no restart needed."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from weightcast.wire.symbols import STAMP
from weightcast_server.app import POLL_S

AWGN = {STAMP: "awgn"}
WORKER = "weightcast_server.working.worker"
pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)


@pytest.fixture
def outage(postgres: Any) -> Callable[[], Any]:
    """A context in which PostgreSQL does not run."""

    @contextmanager
    def down() -> Any:
        postgres.stop()
        try:
            yield
        finally:
            postgres.start()

    return down


def test_while_the_database_is_down_every_call_is_a_503_and_then_all_is_there(
    joined: Any,
    outage: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    finished: Any,
    is_problem: Any,
    model_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with joined(tmp_path) as own:
        receiver = own.receiver
        path = opened(receiver, sent.header)
        assert put(receiver, f"{path}/parts/1", sent.parts[1], **AWGN).status_code == 204
        calls = [
            lambda: receiver.get("/transmissions"),
            lambda: put(receiver, "/transmissions", sent.header.to_bytes(), "POST"),
            lambda: put(receiver, f"{path}/parts/0", sent.parts[0], **AWGN),
            lambda: put(own.link, f"{path}/parts/0", sent.parts[0]),
            lambda: put(own.link, f"{path}/side", sent.side),
            lambda: put(receiver, f"{path}/side", sent.side),
            lambda: receiver.post(f"{path}/complete"),
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
        assert receiver.get(f"{path}/parts").json() == {"parts": [1], "side": False}
        for n in (0, 2):
            assert put(receiver, f"{path}/parts/{n}", sent.parts[n], **AWGN).status_code == 204
        assert put(receiver, f"{path}/side", sent.side).status_code == 204
        with outage():
            pass  # The connections that the pool holds are dead now.
        assert receiver.post(f"{path}/complete").status_code == 202
        assert finished(receiver, path)["state"] == "done"
        assert len(receiver.get("/transmissions").json()["transmissions"]) == 1


def test_connections_that_an_outage_cut_are_replaced_unseen(store: Any, outage: Any) -> None:
    assert store.ids() == set()
    with outage():
        pass
    assert store.ids() == set()


def test_a_sender_sits_out_an_outage_in_mid_send(
    joined: Any,
    postgres: Any,
    encoded: Any,
    transport_over: Any,
    model_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(model_path, "adaptive-redundancy")
    with joined(tmp_path) as own:
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
    joined: Any,
    outage: Any,
    children: Any,
    stop: Any,
    eventually: Any,
    claimant: Any,
    delivered: Any,
    finished: Any,
    encoded: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    with joined(tmp_path) as own:
        (worker,) = children(os.getpid(), WORKER)
        stop(worker)
        path = delivered(own.receiver, encoded(small_path))
        eventually(partial(claimant, path))
        with outage():
            os.kill(worker, signal.SIGCONT)
            model = tmp_path / path[1:] / "model.safetensors"
            eventually(model.exists)
            first = model.stat().st_ino
        assert finished(own.receiver, path)["state"] == "done"
        assert children(os.getpid(), WORKER) == [worker]
        assert model.stat().st_ino == first  # It was decoded once.


def test_an_outage_does_not_end_the_events(
    running: Any,
    outage: Any,
    encoded: Any,
    opened: Any,
    put: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(small_path)
    with running(tmp_path) as (_, url), httpx.Client(base_url=url, timeout=60) as client:
        path = opened(client, sent.header)
        with client.stream("GET", f"{path}/events") as answer:
            lines = (line for line in answer.iter_lines() if line)
            assert '"state": "created"' in next(lines)
            with outage():
                until = time.monotonic() + 2 * POLL_S
                while time.monotonic() < until:
                    assert client.get(path).status_code == 503
            assert put(client, f"{path}/parts/0", sent.parts[0], **AWGN).status_code == 204
            assert '"state": "receiving"' in next(lines)


@pytest.mark.slow
def test_a_row_that_somebody_locks_is_a_503_in_bounded_time(
    joined: Any,
    postgres: Any,
    database: str,
    encoded: Any,
    opened: Any,
    put: Any,
    is_problem: Any,
    small_path: Path,
    tmp_path: Path,
) -> None:
    sent = encoded(small_path)
    with joined(tmp_path) as own, postgres.connect(database.rpartition("/")[2]) as lock:
        path = opened(own.receiver, sent.header)
        with lock.transaction():
            lock.execute("SELECT * FROM transmissions FOR UPDATE")
            answer = put(own.receiver, f"{path}/parts/0", sent.parts[0], **AWGN)
            assert is_problem(answer, 503, "store-busy")
        assert put(own.receiver, f"{path}/parts/0", sent.parts[0], **AWGN).status_code == 204
