"""Processes: services in their own, the workers they have, and waiting for what they do."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")

POLL_S = 0.01
RECEIVERS_WORKER = "weightcast_server.working.worker"
SENDERS_WORKER = "weightcast_client.service.worker"


def until(what: Callable[[], T | Literal[False] | None], within_s: float = 60) -> T:
    """Return what a call returns as soon as it is something: another process has done it."""
    never = threading.Event()
    for _ in range(int(within_s / POLL_S)):
        if found := what():
            return found
        never.wait(POLL_S)
    raise TimeoutError(f"did not happen within {within_s} s")


def children(pid: int, word: str = "weightcast") -> list[int]:
    """Return the living children of a process with a word in their command."""
    return _named({child for child, parent in _parents().items() if parent == pid}, word)


def descendants(pid: int, word: str = "weightcast") -> list[int]:
    """Return the living children of a process, their children and so on, as `children` does."""
    parents = _parents()
    found: set[int] = set()
    more = {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more}
        found |= more
    return _named(found, word)


def workers_of(pid: int, n: int = 1, name: str = RECEIVERS_WORKER) -> list[int]:
    """Return the workers of a process with ``n`` services, as soon as all are there."""
    return until(lambda: len(found := children(pid, name)) == n and found)


def worker_of(pid: int, name: str = RECEIVERS_WORKER) -> int:
    """Return the only worker of a service, as soon as it is there."""
    (only,) = workers_of(pid, name=name)
    return only


def _parents() -> dict[int, int]:
    """Return the parent of each process that lives."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat_of(int(path.parent.name))[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(path.parent.name)] = int(parent)
    return parents


def _named(pids: set[int], word: str) -> list[int]:
    return [pid for pid in pids if word in command_of(pid)]


def freeze(pid: int) -> None:
    """Make a process stand still and wait until it does."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: stat_of(pid)[0] == "T")


def go_on(pid: int) -> None:
    """Let a process go on after `freeze`."""
    os.kill(pid, signal.SIGCONT)


def memory_of(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory_peak(pid: int) -> int:
    """Return the most memory that a process has had at once, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def stat_of(pid: int) -> list[str]:
    """Return the fields of a process's `stat` from its state on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def command_of(pid: int) -> str:
    """Return the command line of a process; nothing if it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""
