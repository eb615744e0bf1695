"""Paths as people write them."""

from pathlib import Path

from weightcast.errors import ParameterError


def expanded(path: Path) -> Path:
    """Return a path with the home folder in place of a `~` at its start.

    A `~` with the name of no user is a letter like any other, as in a shell.

    Raises:
        ParameterError: nobody knows the home folder.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        if path.parts[0] != "~":
            return path
        raise ParameterError(
            f"'{path}' needs a home folder, which is not known: set HOME, or name another path"
        ) from None
