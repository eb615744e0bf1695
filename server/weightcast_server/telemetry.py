"""Telemetry: what happens in a receiver, as lines of the log and numbers for Prometheus."""

import logging
from collections.abc import AsyncIterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from weightcast.errors import WeightcastError
from weightcast_web.telemetry.logs import tell

_log = logging.getLogger(__name__)
WORK_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Telemetry:
    """Log lines and metrics of transmissions and of the worker.

    Args:
        registry: where the numbers go.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"weightcast_receiver_{name}", text, labels, registry=registry)

        def work(name: str, text: str) -> Histogram:
            name = f"weightcast_receiver_{name}_seconds"
            return Histogram(name, text, buckets=WORK_BUCKETS_S, registry=registry)

        self._parts = counter("parts", "Parts that came, by what became of them.", "outcome")
        for outcome in ("stored", "repeated", "refused"):
            self._parts.labels(outcome)
        self._bytes = counter("bytes", "Bytes of parts and side information stored.")
        self._symbols = counter("symbols", "Symbols stored.")
        self._restarts = counter("worker_restarts", "Workers that replaced one that died or hung.")
        self._decode_s = work("decode", "Time to decode one transmission.")
        self._evaluate_s = work("evaluate", "Time to evaluate one transmission.")

    def created(self, id_: str) -> None:
        """A transmission was opened."""
        tell(_log, "created", transmission=id_)

    async def watch_part(self) -> AsyncIterator[None]:
        """Count the part that is refused while a route depends on this."""
        try:
            yield
        except WeightcastError:
            self._parts.labels("refused").inc()
            raise

    def part(self, id_: str, n: int, n_bytes: int, *, is_new: bool) -> None:
        """A part was stored, or had been before."""
        outcome = "stored" if is_new else "repeated"
        self._parts.labels(outcome).inc()
        if is_new:
            self._bytes.inc(n_bytes)
            self._symbols.inc(n_bytes // 4)
        tell(_log, f"part {outcome}", logging.DEBUG, transmission=id_, part=n, bytes=n_bytes)

    def side(self, id_: str, n_bytes: int) -> None:
        """Side information was stored."""
        self._bytes.inc(n_bytes)
        tell(_log, "side stored", transmission=id_, bytes=n_bytes)

    def completed(self, id_: str, n_parts: int) -> None:
        """Everything has arrived."""
        tell(_log, "completed", transmission=id_, parts=n_parts)

    def phase(self, id_: str, name: str) -> None:
        """Decoding or evaluation begins."""
        tell(_log, name, transmission=id_)

    def done(self, id_: str, report: dict[str, Any]) -> None:
        """A transmission has its result."""
        seconds = report["seconds"]
        self._decode_s.observe(seconds["decode"])
        if "evaluate" in seconds:
            self._evaluate_s.observe(seconds["evaluate"])
        tell(
            _log,
            "evaluated" if "accuracy" in report else "decoded",
            transmission=id_,
            accuracy=report.get("accuracy"),
            decode_s=round(seconds["decode"], 3),
            evaluate_s=round(seconds["evaluate"], 3) if "evaluate" in seconds else None,
        )

    def failed(self, id_: str, error: dict[str, Any]) -> None:
        """A transmission has no result and will have none."""
        tell(_log, "failed", logging.ERROR, transmission=id_, **error)

    def deleted(self, id_: str) -> None:
        """A transmission was deleted by a caller."""
        tell(_log, "deleted", transmission=id_)

    def worker_started(self, *, is_first: bool) -> None:
        """A worker runs."""
        if not is_first:
            self._restarts.inc()
        tell(_log, "worker started")

    def worker_died(self, id_: str, code: int) -> None:
        """A worker ended or was ended over a transmission."""
        tell(_log, "worker died", logging.WARNING, transmission=id_, code=code)
