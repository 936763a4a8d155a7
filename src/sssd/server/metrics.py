"""The counters that Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The counters of one application, in a registry of their own. waiting(): how many records the queue holds."""

    def __init__(self, waiting: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        names = ("route", "method", "status")
        self.requests = Counter("sssd_requests", "Requests that were answered", names, registry=registry)
        self.seconds = Histogram(
            "sssd_request_seconds",
            "Time from the request to the end of its answer",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._records = Counter("sssd_records", "Records that were generated", registry=registry)
        self._batch = Histogram(
            "sssd_batch_records", "Number of records in a batch", buckets=RECORDS, registry=registry
        )
        self._waited = Histogram(
            "sssd_waiting_seconds",
            "Time in the queue, once for each batch that a request is part of",
            buckets=SECONDS,
            registry=registry,
        )
        self._busy = Counter("sssd_busy_seconds", "Time in which batches ran", registry=registry)
        Gauge("sssd_waiting_records", "Records in the queue", registry=registry).set_function(waiting)

    def observe_batch(self, records: int, waited_s: list[float], ran_s: float) -> None:
        """Count one batch. The queue calls this after each batch."""
        self._records.inc(records)
        self._batch.observe(records)
        self._busy.inc(ran_s)
        for seconds in waited_s:
            self._waited.observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
