"""Watching: who is told how far a send is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weightcast.experiment.figures import DrawResult


def _ignore(*told: object) -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """Watch: functions that are called while a model is sent.

    Args:
        report: with (phase, done, total); a total of 0 is not known.
        opened: with the id of each transmission when it begins.
        arrived: with the result of each draw.
        received: with the file of each received model, which goes when the call returns; or None.
    """

    report: Callable[[str, int, int], None] = _ignore
    opened: Callable[[str], None] = _ignore
    arrived: Callable[[DrawResult], None] = _ignore
    received: Callable[[Path], object] | None = None


NOBODY = Watch()
"""No function does anything."""
