"""Running a command: errors are one line on standard error, exit codes say whose fault it was."""

import io
import os
import sys
from contextlib import suppress

import typer
from pydantic import ValidationError

from weightcast.errors import BadUse, LinkError, WeightcastError
from weightcast.models.naming import printable

DONE, FAILED, BAD_USE, INTERRUPTED = 0, 1, 2, 130

_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(app: typer.Typer) -> None:
    """Run a command and leave the process: 0 done, 1 the run failed, 2 bad use."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # Not every terminal has every letter.
    try:
        code = app(standalone_mode=False) or DONE
        if code == INTERRUPTED:
            _complain("interrupted", code)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # Whoever read the output, such as `head`, wanted no more of it.
        code = _left_alone(FAILED)
    except _UsageError as error:
        code = BAD_USE
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error, file=sys.stderr)
        else:
            _complain(_named(error), code)
    except (typer.Abort, KeyboardInterrupt):
        code = _complain("interrupted", INTERRUPTED)
    except BadUse as error:
        code = _complain(str(error), BAD_USE)
    except LinkError as error:
        code = _complain(str(error), FAILED)
    except ValidationError as error:
        code = _complain(_first(error), BAD_USE)
    except WeightcastError as error:
        code = _complain(str(error), BAD_USE)
    except OSError as error:
        code = _left_alone(_complain(str(error), FAILED))
    sys.exit(code)


def _left_alone(code: int) -> int:
    """Let nothing more be written to a standard output that takes no more, and return the code."""
    with suppress(OSError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _named(error: Exception) -> str:
    """Say what is wrong with which option."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return f"{message[:1].lower()}{message[1:]}"


def _first(error: ValidationError) -> str:
    """Say what is wrong with a setting, from the command line or the environment."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{error.title} {where}: {first['msg']}, got {first['input']!r}"


def _complain(message: str, code: int) -> int:
    line = printable(" ".join(message.split()))
    print(f"error: {line}", file=sys.stderr)
    return code
