"""One receiver per data folder."""

import fcntl
from pathlib import Path
from typing import BinaryIO

from weightcast.errors import ParameterError


def alone_in(path: Path) -> BinaryIO:
    """Keep other receivers out of a data folder until the file that is returned is closed.

    Raises:
        ParameterError: another one is there, or the folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / "lock").open("wb")
    except OSError as error:
        raise ParameterError(f"cannot use the folder '{path}': {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ParameterError(f"another receiver uses the folder '{path}'") from None
    return file
