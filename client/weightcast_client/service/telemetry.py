"""Telemetry: what happens in a sender service, as lines of the log and numbers for Prometheus."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from weightcast_web.telemetry.logs import tell

_log = logging.getLogger(__name__)
WORK_BUCKETS_S = (0.3, 1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)


class Telemetry:
    """Log lines and metrics of sends and of the worker.

    Args:
        registry: where the numbers go.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._restarts = Counter(
            "weightcast_sender_worker_restarts",
            "Workers that replaced one that died or was ended.",
            registry=registry,
        )
        self._send_s = Histogram(
            "weightcast_sender_send_seconds",
            "Time that the worker spent on one send that was done.",
            buckets=WORK_BUCKETS_S,
            registry=registry,
        )

    def queued(self, id_: str) -> None:
        """A send was accepted."""
        tell(_log, "queued", send=id_)

    def sending(self, id_: str) -> None:
        """The work on a send begins, or goes on after a restart."""
        tell(_log, "sending", send=id_)

    def opened(self, id_: str, transmission: str) -> None:
        """A draw begins, or goes on."""
        tell(_log, "transmission opened", send=id_, transmission=transmission)

    def done(self, id_: str, result: dict[str, Any], seconds: float) -> None:
        """A send has its result."""
        self._send_s.observe(seconds)
        accuracy, mse = result["accuracy"], result["weight_mse"]
        tell(_log, "done", send=id_, accuracy=accuracy, weight_mse=mse, send_s=round(seconds, 3))

    def failed(self, id_: str, error: dict[str, Any]) -> None:
        """A send has no result and will have none."""
        tell(_log, "failed", logging.ERROR, send=id_, **error)

    def cancelled(self, id_: str) -> None:
        """A send was cancelled by a caller."""
        tell(_log, "cancelled", send=id_)

    def left(self, id_: str, transmission: str, error: Exception) -> None:
        """What a cancelled send has begun could not be deleted."""
        tell(
            _log,
            "left at the receiver",
            logging.WARNING,
            send=id_,
            transmission=transmission,
            detail=error,
        )

    def worker_started(self, *, is_first: bool) -> None:
        """A worker runs."""
        if not is_first:
            self._restarts.inc()
        tell(_log, "worker started")

    def worker_died(self, id_: str, code: int) -> None:
        """A worker ended over a send."""
        tell(_log, "worker died", logging.WARNING, send=id_, code=code)


class SendCounts(Collector):
    """Sends by state, as they were when somebody looked last.

    Args:
        count: returns their number in each state.
    """

    def __init__(self, count: Callable[[], dict[str, int]]) -> None:
        self._count = count
        self._found: dict[str, int] = {}

    def look(self) -> None:
        """Count them."""
        self._found = {}
        self._found = self._count()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield what was found, nothing while the database does not answer."""
        if not self._found:
            return
        states = GaugeMetricFamily("weightcast_sender_sends", "Sends by state.", labels=["state"])
        for state, count in self._found.items():
            states.add_metric([state], count)
        yield states
        name = "weightcast_sender_queue_length"
        yield GaugeMetricFamily(name, "Sends that wait.", self._found["queued"])
