"""What tests of the receiver's store share."""

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from weightcast_server.settings import Settings
from weightcast_server.storing.database import open_store
from weightcast_server.storing.store import Store

Claimant = Callable[[str], str | None]
"""The fixture `claimant`: who works on a transmission, by its path."""


class Clock:
    """A clock that a test turns: it shows `now`, in seconds."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def store_in(data: Path, database: str, clock: Callable[[], float] = time.time) -> Store:
    """Open the store of the receivers with this folder and this setting `database`."""
    return open_store(Settings(data=data, database=SecretStr(database)), clock)
