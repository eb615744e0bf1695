"""Logs: one line per event on standard error, for people or for programs."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from weightcast_web.settings import ServiceSettings

LONGEST_VALUE = 300
LONGEST_TRACEBACK = 8000
_PACKAGES = (
    "weightcast",
    "weightcast_client",
    "weightcast_link",
    "weightcast_server",
    "weightcast_web",
)
_PLAIN = re.compile(r"[\w.:/+@-]+", re.ASCII)


def tell(log: logging.Logger, event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields; fields that are None are left out."""
    known = {name: value for name, value in fields.items() if value is not None}
    log.log(level, event, extra={"fields": known})


def begin(service: str, settings: ServiceSettings, *, attached: bool) -> None:
    """Send the logs of this process to standard error.

    Args:
        service: said in each line.
        settings: format and level; libraries are heard from `warning` on at the earliest.
        attached: to a parent, which tells its user what went wrong: only errors are logged.
    """
    is_json = settings.log_format == "json"
    level = (
        logging.ERROR if attached else logging.getLevelNamesMapping()[settings.log_level.upper()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service) if is_json else TextLines(service))
    logging.basicConfig(handlers=[handler], force=True, level=max(level, logging.WARNING))
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(level)


class _Lines(logging.Formatter):
    """What both formats have in common."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def _traceback(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


class TextLines(_Lines):
    """`2026-01-31T12:00:00.000Z info receiver completed transmission=0f... parts=11`.

    A traceback follows its event, each line behind a bar, so that no line looks like an event.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return an event as text."""
        fields = getattr(record, "fields", {})
        words = [_time(record), record.levelname.lower(), self._service, _event(record)]
        words += [f"{name}={_quoted(value)}" for name, value in fields.items()]
        lines = self._traceback(record)[-LONGEST_TRACEBACK:].splitlines()
        return "\n".join([" ".join(words), *(f"  | {clean(line)}" for line in lines)])


class JsonLines(_Lines):
    """`{"time": ..., "level": ..., "service": ..., "event": ..., "transmission": ...}`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return an event as a JSON object on one line."""
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": _event(record),
        }
        fields = getattr(record, "fields", {})
        line |= {name: _bounded(value) for name, value in fields.items()}
        if traceback := self._traceback(record):
            line["traceback"] = traceback[-LONGEST_TRACEBACK:]
        return json.dumps(line)


def clean(text: str) -> str:
    """Return a text of bounded length whose characters can all be printed.

    >>> clean("a line\\r\\n\\x1b[2Janother")
    'a line\\\\r\\\\n\\\\x1b[2Janother'
    """
    kept = text[:LONGEST_VALUE] + ("..." if len(text) > LONGEST_VALUE else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in kept)


def _time(record: logging.LogRecord) -> str:
    now = datetime.fromtimestamp(record.created, UTC)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _event(record: logging.LogRecord) -> str:
    return clean(record.getMessage())


def _bounded(value: object) -> object:
    return value if isinstance(value, int | float) else clean(str(value))


def _quoted(value: object) -> str:
    text = clean(str(value))
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
