"""The counters that Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
RECORDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The counters of one application, in a registry of their own. waiting(): how many records the queue holds.

    build: names and values that say which version of what runs.
    """

    def __init__(self, waiting: Callable[[], float], build: Mapping[str, str]) -> None:
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
        self._quality = Counter(
            "sssd_quality_records", "Records that were generated, by quality", ("quality",), registry=registry
        )
        self._jobs = Gauge("sssd_jobs", "Jobs by state", ("state",), registry=registry)
        Info("sssd_build", "What runs here", registry=registry).info(dict(build))
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        Gauge("sssd_waiting_records", "Records in the queue", registry=registry).set_function(waiting)

    def observe_batch(self, records: int, waited_s: list[float], ran_s: float, quality: str) -> None:
        """Count one batch, after it has run. quality: its name, or "other"."""
        self._quality.labels(quality).inc(records)
        self._records.inc(records)
        self._batch.observe(records)
        self._busy.inc(ran_s)
        for seconds in waited_s:
            self._waited.observe(seconds)

    def observe_jobs(self, counts: Mapping[str, int]) -> None:
        """Take note of how many jobs are in each state."""
        for state, number in counts.items():
            self._jobs.labels(state).set(number)

    def text(self) -> bytes:
        return generate_latest(self._registry)
