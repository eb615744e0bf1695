"""Running a command: errors are one line on standard error, exit codes say whose fault it was."""

import sys

import typer

from weightcast.errors import LinkError, WeightcastError

DONE, FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class BadUse(LinkError):
    """The other end cannot do what was asked for; asking again will not help."""


def run(app: typer.Typer) -> None:
    """Run a command and leave the process: 0 done, 1 the run failed, 2 bad use."""
    try:
        code = app(standalone_mode=False) or DONE
    except _UsageError as error:
        code = _complain(getattr(error, "message", str(error)), BAD_USE)
    except (typer.Abort, KeyboardInterrupt):
        code = _complain("interrupted", INTERRUPTED)
    except BadUse as error:
        code = _complain(str(error), BAD_USE)
    except LinkError as error:
        code = _complain(str(error), FAILED)
    except WeightcastError as error:
        code = _complain(str(error), BAD_USE)
    except OSError as error:
        code = _complain(str(error), FAILED)
    sys.exit(code)


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"error: {line}", file=sys.stderr)
    return code
