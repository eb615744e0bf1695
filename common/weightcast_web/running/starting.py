"""Starting a program: what must hold before its modules, which take a while, are imported."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

INTERRUPTED = 130


@contextmanager
def starting() -> Iterator[None]:
    """Import in this block: an interrupt is one line, and standard input, output and error exist.

    Where one of them is closed, the next file or socket would take its number.
    """
    for standard in range(3):
        try:
            os.fstat(standard)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    yield
    signal.signal(signal.SIGINT, before)


def _end(*received: object) -> None:
    with suppress(OSError):
        os.write(2, b"error: interrupted\n")
    os._exit(INTERRUPTED)
