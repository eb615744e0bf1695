"""Interleaved timing, rows of the table, and the facts of the machine."""

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

Clock = Callable[[], float]
_PACKAGES = ("weightcast", "numpy", "numba", "torch", "httpx", "uvicorn")
_CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Args:
        what: what was measured.
        value: the figure, in `unit`.
        unit: `memcpy` for example: the figure is a multiple of one.
        at_most, at_least: the yardstick, if there is one.
        seconds: the time behind the figure, if it is one.
        note: what a reader must know.
    """

    what: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    seconds: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the yardstick is met; None without one."""
        if self.at_most is None and self.at_least is None:
            return None
        is_low = self.at_most is None or self.value <= self.at_most
        return is_low and (self.at_least is None or self.value >= self.at_least)

    @property
    def yardstick(self) -> str:
        """The yardstick in words."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return "" if self.at_least is None else f"at least {self.at_least:g}"

    def to_json(self) -> dict[str, Any]:
        """Return the row with its verdict."""
        return asdict(self) | {"is_met": self.is_met}


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of each repetition."""

    seconds: list[float]

    @property
    def best(self) -> float:
        """The shortest: what the machine can do when nobody else is at it."""
        return min(self.seconds)

    @property
    def typical(self) -> float:
        """The median."""
        return median(self.seconds)


def interleaved(
    tasks: dict[str, Callable[[], object]],
    repetitions: int,
    clock: Clock = time.perf_counter,
    tidy: Callable[[], object] = lambda: None,
) -> dict[str, Times]:
    """Run all tasks once to warm up, then round by round, so that a slow spell hits all of them.

    Args:
        tasks: by name.
        repetitions: rounds.
        clock: in seconds.
        tidy: called after each round, outside the timing.
    """
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repetitions):
        for name, task in tasks.items():
            began = clock()
            task()
            seconds[name].append(clock() - began)
        tidy()
    return {name: Times(values) for name, values in seconds.items()}


def machine() -> dict[str, Any]:
    """Return what the figures depend on, and nothing that names the machine."""
    lines = _lines("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    memory_kb = next((int(x.split()[1]) for x in _lines("/proc/meminfo") if "MemTotal" in x), None)
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "cpu_features": [name for name in _CPU_FEATURES if name in flags],
        "has_amx": torch.cpu._is_amx_tile_supported(),
        "memory_gb": memory_kb and round(memory_kb / 1e6),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _PACKAGES},
        "load_average": round(os.getloadavg()[0], 2),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
