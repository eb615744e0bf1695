"""`make` for somebody whose Python is too old."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("program", "said"), [("printf 'is 3.10.13'", "is 3.10.13, "), ("exit 1", "does not run, ")]
)
def test_an_unfit_python_is_refused_in_one_line_before_anything_is_made(
    program: str, said: str, tmp_path: Path
) -> None:
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    before = sorted(tmp_path.iterdir())
    # As from a shell, also where a make runs the tests.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}
    command = ["make", "demo", f"PYTHON={python}"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr and "make demo PYTHON=python3.12" in ran.stderr
    assert sorted(tmp_path.iterdir()) == before
