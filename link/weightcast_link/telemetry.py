"""Telemetry: what happens on a link, as numbers for Prometheus."""

from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry, Counter, Histogram

from weightcast.errors import WeightcastError

NOISE_BUCKETS_S = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3)
TROUBLES = ("unreachable", "silent", "broken-off", "token-refused")
"""What can be wrong with the receiver."""


class Telemetry:
    """Counters of what passes and what does not.

    Args:
        registry: where the numbers go.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"weightcast_link_{name}", text, labels, registry=registry)

        self._parts = counter("parts", "Parts that came, by what became of them.", "outcome")
        self._bytes = counter("bytes", "Bytes of symbols passed on.")
        self._symbols = counter("symbols", "Symbols passed on.")
        self._troubles = counter("receiver_errors", "Calls the receiver did not answer.", "kind")
        self.noise_s = Histogram(
            "weightcast_link_noise_seconds",
            "Time to check the symbols of one part and add the noise.",
            buckets=NOISE_BUCKETS_S,
            registry=registry,
        )
        for outcome in ("passed", "refused"):
            self._parts.labels(outcome)
        for kind in TROUBLES:
            self._troubles.labels(kind)

    async def watch_part(self) -> AsyncIterator[None]:
        """Count the part that is refused while a route depends on this."""
        try:
            yield
        except WeightcastError:
            self._parts.labels("refused").inc()
            raise

    def part(self, n_bytes: int, *, is_taken: bool) -> None:
        """A part met its noise; the receiver took it or refused it."""
        self._parts.labels("passed" if is_taken else "refused").inc()
        if is_taken:
            self._bytes.inc(n_bytes)
            self._symbols.inc(n_bytes // 4)

    def trouble(self, kind: str) -> None:
        """The receiver did not answer as it should."""
        self._troubles.labels(kind).inc()
