"""Failpoints: named places at which a test makes a service fail. Inert unless armed.

A service that is killed at a moment that a test chooses shows what a crash at that moment loses.
The code says `reach("part-renamed")`, which does nothing; a service started with the failpoint
`kill part-renamed 3` is killed when it comes there for the third time. There is one order for a
whole process, as there is one process to kill.
"""

import errno
import os
import signal
from collections.abc import Callable
from itertools import count

from weightcast.errors import ParameterError

_STEPS = ("written", "synced", "renamed", "kept")
PLACES = (
    "created",
    "folder-made",
    *(f"part-{step}" for step in (*_STEPS, "noted")),
    *(f"side-{step}" for step in (*_STEPS, "noted")),
    "queued",
    "decoding",
    *(f"model-{step}" for step in _STEPS),
    "evaluating",
    "reported",
    "result-noted",
)
"""In the order in which a transmission comes by. Of a file: its bytes are written, then on disk,
then it has its name, then its name is on disk, then the database has noted it. What is created,
noted or queued is so in the database."""


class Failpoint:
    """Something that happens at a place, once.

    Args:
        order: action (kill, stop, fail or full), place, and which time, with blanks between them.
        others: processes that are killed or stopped along with this one, before it.

    Raises:
        ParameterError: there is no such action or place, or the time is no number from 1.
    """

    def __init__(self, order: str, others: tuple[int, ...] = ()) -> None:
        action, _, rest = order.partition(" ")
        self.place, _, time = rest.partition(" ")
        if action not in _ACTIONS or self.place not in PLACES or not time.isdecimal():
            raise ParameterError(f"a failpoint is an action, a place and a number, got '{order}'")
        self._act, self._time, self._times = _ACTIONS[action], int(time), count(1)
        self._pids = (*others, os.getpid())

    def reach(self) -> None:
        """Do it, if this is the time."""
        if next(self._times) == self._time:
            self._act(self._pids)


def _signal(number: int) -> Callable[[tuple[int, ...]], None]:
    def act(pids: tuple[int, ...]) -> None:
        for pid in pids:
            os.kill(pid, number)

    return act


def _error(number: int) -> Callable[[tuple[int, ...]], None]:
    def act(pids: tuple[int, ...]) -> None:
        raise OSError(number, os.strerror(number))

    return act


_ACTIONS = {
    "kill": _signal(signal.SIGKILL),
    "stop": _signal(signal.SIGSTOP),
    "fail": _error(errno.EIO),
    "full": _error(errno.ENOSPC),
}
_armed: Failpoint | None = None


def arm(order: str, *others: int) -> None:
    """Make something happen at a place; an empty order disarms. See `Failpoint`."""
    global _armed
    _armed = Failpoint(order, others) if order else None


def reach(place: str) -> None:
    """Come by a place. Nothing happens unless it is the armed one."""
    if _armed is not None and _armed.place == place:
        _armed.reach()
