"""The memory of a part comes from the system and goes back to it."""

import subprocess
import sys

PARTS_IN_FOUR_THREADS = """
import io, resource, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from weightcast_link.crossing import read_part

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

def read(_):
    all_have_one.wait()
    return read_part(io.BytesIO(sent), 0, len(sent))

sent = bytes(range(256)) * (4 << 12)
all_have_one = threading.Barrier(4)
with ThreadPoolExecutor(4) as threads:
    before = resident()
    for _ in range(4):
        parts = list(threads.map(read, range(4)))
        assert all(part == sent for part in parts)
        del parts
    print(resident() - before)
"""


def test_threads_keep_no_memory_of_the_parts_that_they_have_read() -> None:
    run = [sys.executable, "-c", PARTS_IN_FOUR_THREADS]
    out = subprocess.run(run, capture_output=True, text=True, check=True, timeout=60).stdout
    assert int(out) < 4 << 20  # One part.
