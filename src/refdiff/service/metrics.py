"""What Prometheus reads at /metrics, in a registry of this server's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from .queue import Job

_SECONDS = (0.005, 0.02, 0.1, 0.3, 1, 3, 10, 30, 60, 120)
_COUNTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server. `read` gives, when asked, its gauges: (name, what it is, labels, value)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter("refdiff_requests", "Requests by route and status.", ["route", "method", "status"],
                                registry=self._registry)
        self.seconds = Histogram("refdiff_request_seconds", "Time from a request's head to its answer.", ["route"],
                                 buckets=_SECONDS, registry=self._registry)
        self._work = Histogram("refdiff_work_seconds", "Time that a batch takes a model.", ["model", "kind"],
                               buckets=_SECONDS, registry=self._registry)
        self._batch = Histogram("refdiff_batch_requests", "Requests done as one batch.", ["model"], buckets=_COUNTS,
                                registry=self._registry)
        self._stages = Counter("refdiff_stage_seconds", "Time by stage of the work.", ["model", "stage"],
                               registry=self._registry)

    def done(self, model: str, jobs: Sequence[Job], seconds: float, stages: Mapping[str, float]) -> None:
        """Count a batch; `stages` in milliseconds."""
        self._work.labels(model, jobs[0].kind).observe(seconds)
        self._batch.labels(model).observe(len(jobs))
        for stage, milliseconds in stages.items():
            self._stages.labels(model, stage).inc(milliseconds / 1000)

    def watch(self, name: str, says: str, read: Callable[[], Iterable[tuple[str, float]]]) -> None:
        """A gauge by model, or by nothing where the label is empty, read whenever it is asked for."""
        self._registry.register(_Gauge(name, says, read))

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self._registry)


class _Gauge:
    def __init__(self, name: str, says: str, read: Callable[[], Iterable[tuple[str, float]]]):
        self._name, self._says, self._read = name, says, read

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._says, labels=["model"])
        for model, value in self._read():
            family.add_metric([model], value)
        yield family
