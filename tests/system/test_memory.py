"""A model larger than what its way takes in memory passes whole."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightcast.arrays import blocks
from weightcast.models.tensors import Tensor, write_index
from weightcast.models.weights import open_model

MB = 1_000_000
MAX_GROWTH = 200 * MB
PEAK = "VmHWM"

SENDER = """
import sys
from pathlib import Path
from weightcast_client.cli import app
app(standalone_mode=False)
print(Path("/proc/self/status").read_text(), file=sys.stderr)
"""


def peak_of(status: str) -> int:
    """Return the peak of the resident memory, in bytes."""
    (line,) = [line for line in status.splitlines() if line.startswith(PEAK)]
    return int(line.split()[1]) * 1024


def write_random_model(path: Path, n_bytes: int) -> Path:
    """Write a model of about so many bytes, in ten tensors, without holding it in memory."""
    generator = np.random.Generator(np.random.Philox(7))
    rows = n_bytes // 40_000
    with path.open("wb") as file:
        file.write(write_index(Tensor(f"w{i}", "F32", (rows, 1000)) for i in range(10)))
        for _ in range(10 * rows):
            file.write(generator.standard_normal(1000, np.float32))
    return path


def send_measured(link: str, model: Path) -> tuple[int, dict[str, Any]]:
    """Send a model and return the sender's peak memory and the result."""
    words = ["--json", "--no-evaluate", "--channel=noiseless", f"--link={link}", f"--model={model}"]
    ran = subprocess.run(
        [sys.executable, "-c", SENDER, "send", *words], capture_output=True, text=True, check=True
    )
    return peak_of(ran.stderr), json.loads(ran.stdout)


def pass_a_model(n_bytes: int, tmp_path: Path, running: Any, children: Any) -> dict[str, int]:
    """Send a model of so many bytes; return by how much each process grew beyond a small one."""
    with ExitStack() as stack:
        receiver, url = stack.enter_context(running(tmp_path / "data"))
        link, link_url = stack.enter_context(running(None, receiver=url))
        small = write_random_model(tmp_path / "small.safetensors", 1 * MB)
        before, _ = send_measured(link_url, small)
        (worker,) = children(receiver.pid)
        pids = {"link": link.pid, "receiver": receiver.pid, "worker": worker}

        def peaks() -> dict[str, int]:
            return {
                name: peak_of(Path(f"/proc/{pid}/status").read_text()) for name, pid in pids.items()
            }

        rest_before = peaks()
        large = write_random_model(tmp_path / "large.safetensors", n_bytes)
        after, result = send_measured(link_url, large)
        rest = {name: peak - rest_before[name] for name, peak in peaks().items()}
        received = tmp_path / "data" / "transmissions" / result["transmission"]
        assert is_close(large, received / "model.safetensors")
        return {"sender": after - before} | rest


def is_close(sent: Path, received: Path) -> bool:
    """Whether all weights arrived, to within the rounding of symbols to float32."""
    with open_model(sent) as ours, open_model(received) as theirs:
        assert theirs.layout == ours.layout
        return all(
            np.abs(a - b).max() <= 8 * 2.0**-23
            for (_, a), (_, b) in zip(blocks(ours), blocks(theirs), strict=True)
        )


@pytest.mark.slow
def test_300_mb_pass_while_no_process_grows_by_200_mb(
    tmp_path: Path, running: Any, children: Any
) -> None:
    growth = pass_a_model(300 * MB, tmp_path, running, children)
    assert max(growth.values()) < MAX_GROWTH, growth
