"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The counters of one application; each has a registry of its own."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        names = ("route", "method", "status")
        self.requests = Counter("sssd_requests", "Answers", names, registry=registry)
        self.seconds = Histogram(
            "sssd_request_seconds", "From request to answer", ("route",), buckets=SECONDS, registry=registry
        )
        self._records = Counter("sssd_records", "Records generated", registry=registry)
        self._batch = Histogram(
            "sssd_batch_records", "Records of a batch", buckets=RECORDS, registry=registry
        )
        self._waited = Histogram(
            "sssd_waiting_seconds", "In the queue, by request and batch", buckets=SECONDS, registry=registry
        )
        self._busy = Counter("sssd_busy_seconds", "That batches ran", registry=registry)
        Gauge("sssd_waiting_records", "In the queue", registry=registry).set_function(waiting)

    def batch(self, records: int, waited_s: list[float], ran_s: float) -> None:
        """Told by the queue of every batch."""
        self._records.inc(records)
        self._batch.observe(records)
        self._busy.inc(ran_s)
        for seconds in waited_s:
            self._waited.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
