"""What is told how far something is."""

from typing import Protocol


class Progress(Protocol):
    """A screen, or a line to whoever watches."""

    def report(self, name: str, done: int, total: int, /) -> None:
        """Take note of a phase; total 0 is not known."""
