"""What is acknowledged is on disk, and a disk that is full or fails costs nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driver.calls import is_problem
from driver.models import encoded
from driver.services import Driver
from faults.sending import calls_of
from sqlalchemy import Connection, Engine, event

SCHEME = "adaptive-redundancy"
SYNCHRONOUS_FULL = 2
"""SQLite waits until its journal is on disk."""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the receiver in this process makes durable, step by step."""
    seen: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def noted_fsync(fd: int) -> None:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        fsync(fd)
        seen.append(f"fsync {path.name if path.is_dir() else 'file'}")

    def noted_rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return rename(self, target)

    def commit(connection: Connection) -> None:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == SYNCHRONOUS_FULL
        seen.append("commit")

    def execute(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith(("INSERT", "UPDATE")):
            seen.append("write")

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "rename", noted_rename)
    event.listen(Engine, "commit", commit)
    event.listen(Engine, "before_cursor_execute", execute)
    yield seen
    event.remove(Engine, "commit", commit)
    event.remove(Engine, "before_cursor_execute", execute)


def test_what_is_acknowledged_is_on_disk_before_it_is_acknowledged(
    steps: list[str], driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    with driver.join(tmp_path) as own:
        calls = calls_of(encoded(small_path, SCHEME, "noiseless"), own.receiver)

        def has_steps(*wanted: str) -> bool:
            """Whether the next call takes these steps in this order before it is answered."""
            steps.clear()
            assert next(calls).is_success
            left = iter(steps)
            return all(step in left for step in wanted)

        assert has_steps("write", "commit", "fsync transmissions")
        (folder,) = (tmp_path / "transmissions").iterdir()
        assert has_steps("fsync file", "rename", "fsync parts", "write", "commit")
        assert has_steps("fsync file", "rename", f"fsync {folder.name}", "write", "commit")
        assert has_steps("write", "commit")


def test_a_part_that_had_its_name_but_not_for_good_is_made_durable_before_it_is_acknowledged(
    steps: list[str], driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path, SCHEME, "noiseless")
    with driver.join(tmp_path, failpoint="fail part-renamed 1") as own:
        calls = calls_of(sent, own.receiver)
        assert [next(calls).status_code for _ in range(2)] == [201, 500]
        calls = calls_of(sent, own.receiver)
        next(calls)
        steps.clear()
        assert next(calls).status_code == 204
        assert "fsync parts" in steps


@pytest.mark.parametrize("error", ["full", pytest.param("fail", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "place",
    [f"{what}-{step}" for what in ("part", "side") for step in ("written", "synced", "renamed")],
)
def test_a_disk_that_fails_at_any_step_refuses_the_call_and_the_next_try_is_whole(
    place: str, error: str, driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path, SCHEME, "noiseless")
    with driver.join(tmp_path, failpoint=f"{error} {place} 1") as own:
        answers = list(calls_of(sent, own.receiver))
        refused = next(answer for answer in answers if not answer.is_success)
        assert is_problem(refused, *((507, "disk-full") if error == "full" else (500, "internal")))
        path = f"/transmissions/{answers[0].json()['id']}"
        kept = own.receiver.there(path)["parts"]
        files = [file.read_bytes() for file in (tmp_path / path[1:] / "parts").iterdir()]
        assert len(kept) <= len(files) and all(file in sent.parts for file in files)
        assert all(answer.is_success for answer in calls_of(sent, own.receiver))
        assert own.receiver.end_of(path)["state"] == "done"
        assert not list(tmp_path.rglob("*.new"))


@pytest.mark.parametrize("place", ["model-written", "model-renamed"])
def test_a_disk_that_is_full_when_the_model_is_written_fails_the_transmission_and_says_why(
    place: str, driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    with driver.join(tmp_path, failpoint=f"full {place} 1") as own:
        *_, last = calls_of(encoded(small_path, SCHEME, "noiseless"), own.receiver)
        path = f"/transmissions/{last.json()['id']}"
        found = own.receiver.end_of(path)
        assert found["state"] == "failed"
        assert found["error"]["detail"] == "the receiver's disk is full"
        assert own.receiver.get(f"{path}/model").status_code == 409
        assert not list(tmp_path.rglob("*.new"))
