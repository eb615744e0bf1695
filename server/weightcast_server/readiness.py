"""Readiness: whether a receiver can work, and what waits in it, looked at off the event loop."""

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from weightcast_server.storing.store import STATES, Counts, Store
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry.health import STALE_S


class Readiness(Collector):
    """The check of database and disk, and what it saw last, for Prometheus.

    Args:
        store: the database.
        folder: of the data.
        spare_bytes: that must be free there.
        works: whether the supervisor lives.
    """

    def __init__(
        self, store: Store, folder: Path, spare_bytes: int, works: Callable[[], bool]
    ) -> None:
        self._store, self._folder, self._spare_bytes = store, folder, spare_bytes
        self._works = works
        # A thread of its own: those of the event loop may all be busy writing parts.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="readiness")
        self._counts: Counts = {}
        self._free_bytes, self._seen = 0, -math.inf

    async def check(self) -> None:
        """Return if the receiver can work.

        Raises:
            Refusal: 503, and why it cannot.
        """
        if not self._works():
            raise Refusal(503, "no-supervisor", "nothing is decoded or evaluated any more")
        await asyncio.get_running_loop().run_in_executor(self._thread, self._look)

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False)

    def _look(self) -> None:
        try:
            self._free_bytes = shutil.disk_usage(self._folder).free
            with tempfile.TemporaryFile(dir=self._folder) as file:
                file.write(b"\0")
        except OSError as error:
            detail = f"the data folder takes no writes: {error.strerror}"
            raise Refusal(503, "disk-refuses", detail) from None
        self._counts = self._store.counts()
        self._seen = time.monotonic()
        if self._free_bytes < self._spare_bytes:
            raise Refusal(503, "disk-full", f"only {self._free_bytes} bytes are free for data")

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what was seen last, unless it is too old to be true."""
        if time.monotonic() - self._seen > STALE_S:
            return
        name = "weightcast_receiver_"
        states = GaugeMetricFamily(
            f"{name}transmissions", "Transmissions by state.", labels=["state"]
        )
        for state in STATES:
            count, _ = self._counts.get(state, (0, None))
            states.add_metric([state], count)
        yield states
        queued, since = self._counts.get("queued", (0, None))
        yield GaugeMetricFamily(f"{name}queue_length", "Transmissions that wait.", queued)
        age_s = 0.0 if since is None else max(0.0, time.time() - since)
        yield GaugeMetricFamily(f"{name}queue_oldest_seconds", "Longest wait so far.", age_s)
        yield GaugeMetricFamily(f"{name}disk_free_bytes", "Free for data.", self._free_bytes)
