"""One service of a kind per data folder, unless several share a database too."""

import fcntl
from pathlib import Path
from typing import BinaryIO

from weightcast.errors import ParameterError


def take(path: Path, kind: str, *, shared: bool = False) -> BinaryIO:
    """Keep others of a kind out of a data folder until the file that is returned is closed.

    Args:
        path: of the folder; it is made if need be.
        kind: of service, for the message.
        shared: let in those that share it too.

    Raises:
        ParameterError: another one is there, or the folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = (path / "lock").open("wb")
    except OSError as error:
        raise ParameterError(f"cannot use the folder '{path}': {error.strerror}") from None
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise ParameterError(f"another {kind} uses the folder '{path}'") from None
    return file
