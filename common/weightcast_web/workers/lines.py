"""A worker process's side of the lines: JSON objects, orders in, news out."""

import itertools
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator
from typing import Any


def orders() -> Iterator[dict[str, Any]]:
    """Yield orders; the process ends at once when standard input closes, whatever it is doing."""
    lines: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        with os.fdopen(os.dup(0), "rb") as file:
            for line in file:
                lines.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return (json.loads(lines.get()) for _ in itertools.count())


def write(line: dict[str, Any]) -> None:
    """Write one JSON line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
