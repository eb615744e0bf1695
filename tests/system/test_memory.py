"""A model larger than what its way takes in memory passes whole."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver.processes import memory_peak
from driver.services import Driver

from weightcast.arrays import blocks
from weightcast.models.tensors import Tensor, write_index
from weightcast.models.weights import open_model

MB = 1_000_000
MAX_GROWTH = 200 * MB

SENDER = """
import sys
from weightcast_client.cli import app
app(standalone_mode=False)
print(*[line for line in open("/proc/self/status") if line.startswith("VmHWM")], file=sys.stderr)
"""


def write_random_model(path: Path, n_bytes: int) -> Path:
    """Write a model of about so many bytes, in ten tensors, without holding it in memory."""
    generator = np.random.Generator(np.random.Philox(7))
    rows = n_bytes // 40_000
    with path.open("wb") as file:
        file.write(write_index(Tensor(f"w{i}", "F32", (rows, 1000)) for i in range(10)))
        for _ in range(10 * rows):
            file.write(generator.standard_normal(1000, np.float32).data)
    return path


def send_measured(link: str, model: Path) -> tuple[int, dict[str, Any]]:
    """Send a model and return the sender's peak memory and the result."""
    words = ["--json", "--no-evaluate", "--channel=noiseless", f"--link={link}", f"--model={model}"]
    ran = subprocess.run(
        [sys.executable, "-c", SENDER, "send", *words], capture_output=True, text=True, check=True
    )
    return int(ran.stderr.split()[-2]) * 1024, json.loads(ran.stdout)


def pass_a_model(n_bytes: int, tmp_path: Path, driver: Driver) -> dict[str, int]:
    """Send a model of so many bytes; return by how much each process grew beyond a small one."""
    with driver.ends(tmp_path / "data") as (link, receiver):
        small = write_random_model(tmp_path / "small.safetensors", 1 * MB)
        before, _ = send_measured(link.url, small)
        pids = {
            "link": link.process.pid,
            "receiver": receiver.process.pid,
            "worker": receiver.worker(),
        }

        def peaks() -> dict[str, int]:
            return {name: memory_peak(pid) for name, pid in pids.items()}

        rest_before = peaks()
        large = write_random_model(tmp_path / "large.safetensors", n_bytes)
        after, result = send_measured(link.url, large)
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
def test_300_mb_pass_while_no_process_grows_by_200_mb(tmp_path: Path, driver: Driver) -> None:
    growth = pass_a_model(300 * MB, tmp_path, driver)
    assert max(growth.values()) < MAX_GROWTH, growth
