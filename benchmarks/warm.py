"""A warm `client send`: everything but the evaluation, in seconds of wall time.

The first run fills the caches of compiled kernels and of the clean accuracy and is not counted.
"""

import json
import subprocess
import sys
import time
from statistics import median

from measure import Row

N_IMAGES = 500
REPETITIONS = 3


def measure() -> list[Row]:
    """Run the command as a user would."""
    _run()
    found = [_run() for _ in range(REPETITIONS)]
    return [
        Row(
            what="client send, without evaluation",
            value=min(found),
            unit="s",
            at_most=2.5,
            note=f"median {median(found):.2f}; first {N_IMAGES} images",
        )
    ]


def _run() -> float:
    command = ["send", "--std=0.1", f"--limit={N_IMAGES}", "--json"]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "weightcast_client.cli", *command],
        stdout=subprocess.PIPE,
        check=True,
    )
    wall = time.perf_counter() - began
    return wall - float(json.loads(done.stdout)["seconds"]["evaluate"])
