"""Provenance: which program made a result."""

import subprocess
from pathlib import Path

import weightcast


def program() -> str:
    """Return the version of weightcast and, in a git checkout, its commit."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return f"weightcast {weightcast.__version__}"
    return f"weightcast {weightcast.__version__}, commit {done.stdout.strip()}"
