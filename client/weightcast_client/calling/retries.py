"""Retries: how long and how often a sender tries a call again.

Not by a library of retries: those count the attempts at one call, and here the attempts begin anew
when any other call gets through, and a wait that the other end asks for costs a share of one.
"""

import random
import threading
from collections.abc import Callable

from weightcast.errors import LinkError

LONGEST_WAIT_S = 5.0
PATIENCE_S = 600.0
"""How long one call puts up with being told to come back later."""
AWAY_S = 1.0
"""After how long one that is away, and comes back, is asked again."""
SILENT_S = 3.0
"""How long a call waits before it says so."""


class PassingFailure(Exception):
    """Failure that may pass; with ``after_s`` the other end is busy and says for how long."""

    def __init__(self, error: LinkError, after_s: float | None = None) -> None:
        self.error, self.after_s = error, after_s


class Retries:
    """Retries of all calls to one other end; safe to use from several threads.

    Args:
        tries: attempts at one call without progress.
        first_wait_s: longest wait after the first failure; it doubles up to `LONGEST_WAIT_S`.
        waiting: for an other end that comes back when it is away: is told in a line what a call
            waits for, once until one gets further; None: what is away is gone.
    """

    def __init__(
        self, tries: int, first_wait_s: float, waiting: Callable[[str], None] | None = None
    ) -> None:
        self.tries, self.first_wait_s, self._waiting = tries, first_wait_s, waiting
        self.away_s = None if waiting is None else AWAY_S
        self.progress, self._said_at = 0, -1
        self._is_over = threading.Event()

    def got_further(self) -> None:
        """Note that a call has got further: all attempts count anew."""
        self.progress += 1

    def give_up(self) -> None:
        """Let calls that have failed fail, instead of trying them again."""
        self._is_over.set()

    def say(self, line: str) -> None:
        """Say what a call waits for, unless that has been said."""
        if self._waiting is not None and self._said_at != self.progress:
            self._said_at = self.progress
            self._waiting(line)

    def wait(self, wait_s: float) -> bool:
        """Wait and return whether there is a next try."""
        return not self._is_over.wait(wait_s)


class Attempts:
    """Attempts at one call while the sender got no further with this or any other."""

    def __init__(self, retries: Retries) -> None:
        self._retries = retries
        self._failures, self._progress = 0.0, retries.progress
        self._waited_s = 0.0

    def failed(self, failure: PassingFailure) -> None:
        """Count one more failure and wait, or raise its error if it was one too many.

        The wait grows, and a random share of it keeps senders from marching in step. Waiting as
        told counts little: the tries are spent only when it has taken `PATIENCE_S`.
        """
        retries = self._retries
        if self._progress != retries.progress:
            self._failures, self._progress = 0.0, retries.progress
            self._waited_s = 0.0
        if failure.after_s is not None:
            wait_s = failure.after_s * (1 + random.random())
            self._failures += retries.tries * wait_s / PATIENCE_S
        else:
            longest = min(retries.first_wait_s * 2**self._failures, LONGEST_WAIT_S)
            wait_s = longest * (0.5 + random.random() / 2)
            self._failures += 1
        if self._failures >= retries.tries:
            raise failure.error
        self._waited_s += wait_s
        if self._waited_s > SILENT_S:
            retries.say(str(failure.error))
        if not retries.wait(wait_s):
            raise failure.error
