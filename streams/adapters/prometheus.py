"""The metrics of `metric_names` as prometheus-client families, made at first use."""

from __future__ import annotations

import threading
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streams.metric_names import Metric

BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0),
)
"""From an answer of half a millisecond to a training of an hour."""

Family = TypeVar("Family", Counter, Gauge, Histogram)


class Meters:
    """One role's metrics. A metric is asked for with exactly the labels it was declared with."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self._families: dict[str, Counter | Gauge | Histogram] = {}
        self._lock = threading.Lock()

    def counter(self, metric: Metric, **labels: str) -> Counter:
        """For `.inc(n)`."""
        return self._child(metric, Counter, labels)

    def gauge(self, metric: Metric, **labels: str) -> Gauge:
        """For `.set(x)`."""
        return self._child(metric, Gauge, labels)

    def histogram(self, metric: Metric, **labels: str) -> Histogram:
        """For `.observe(seconds)`."""
        return self._child(metric, Histogram, labels)

    def exposition(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)

    def _child(self, metric: Metric, kind: type[Family], labels: dict[str, str]) -> Family:
        if metric.kind != kind.__name__.lower():
            raise TypeError(f"{metric.name} is declared a {metric.kind}, asked for as a {kind.__name__.lower()}")
        if sorted(labels) != sorted(metric.labels):
            raise TypeError(f"{metric.name} has the labels {sorted(metric.labels)}, got {sorted(labels)}")
        family = self._family(metric, kind)
        return family.labels(**labels) if labels else family

    def _family(self, metric: Metric, kind: type[Family]) -> Family:
        with self._lock:
            family = self._families.get(metric.name)
            if family is None:
                family = self._made(metric)
                self._families[metric.name] = family
            assert isinstance(family, kind)
            return family

    def _made(self, metric: Metric) -> Counter | Gauge | Histogram:
        match metric.kind:
            case "counter":
                return Counter(metric.name, metric.help, metric.labels, registry=self.registry)
            case "gauge":
                return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)
            case "histogram":
                return Histogram(metric.name, metric.help, metric.labels, registry=self.registry, buckets=BUCKETS_S)
