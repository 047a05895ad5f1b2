"""Serving's metrics with their labelled children kept, as finding one costs more than counting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.prediction import ArmOutcomes, RowAnswered
from streams.adapters.prometheus import Meters
from streams.metric_names import (
    ARM_FAILURES,
    CANDIDATE_SHARE,
    LABELS_ACCEPTED,
    LABELS_REFUSED,
    REQUEST_SECONDS,
    REQUESTS,
    ROUTE_GENERATION,
    ROWS_ANSWERED,
    Metric,
)


class ServingMeters:
    """Counts what serving does. Label values are bounded: models that are served, endpoints, status classes, kinds."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._counters: dict[tuple[str, ...], Any] = {}
        self._seconds: dict[tuple[str, str], Any] = {}

    def count_request(self, model: str, endpoint: str, status: int, seconds: float) -> None:
        """One request answered. `model` '' where none that is served was named."""
        self._counter(REQUESTS, model=model, endpoint=endpoint, status=f"{status // 100}xx").inc()
        histogram = self._seconds.get((model, endpoint))
        if histogram is None:
            histogram = self._seconds[model, endpoint] = self._meters.histogram(REQUEST_SECONDS, model=model, endpoint=endpoint)
        histogram.observe(seconds)

    def count_rows(self, model: str, rows: Sequence[RowAnswered]) -> None:
        """Rows answered, by arm."""
        for arm, count in _counted([row.chosen.arm for row in rows]).items():
            self._counter(ROWS_ANSWERED, model=model, arm=arm).inc(count)

    def count_failures(self, model: str, arms: Sequence[ArmOutcomes]) -> None:
        """Rows that an arm failed on, by kind."""
        for arm in arms:
            for kind, count in _counted([outcome for outcome in arm.outcomes if isinstance(outcome, str)]).items():
                self._counter(ARM_FAILURES, model=model, arm=arm.arm, kind=kind).inc(count)

    def count_label(self, model: str) -> None:
        """One label acknowledged by the broker."""
        self._counter(LABELS_ACCEPTED, model=model).inc()

    def count_refused(self, reason: str, count: int = 1) -> None:
        """Labels refused with a 4xx."""
        self._counter(LABELS_REFUSED, reason=reason).inc(count)

    def show_route(self, model: str, generation: int, share: float) -> None:
        """The route in force."""
        self._meters.gauge(ROUTE_GENERATION, model=model).set(generation)
        self._meters.gauge(CANDIDATE_SHARE, model=model).set(share)

    def _counter(self, metric: Metric, **labels: str) -> Any:
        key = (metric.name, *labels.values())
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._meters.counter(metric, **labels)
        return counter


def _counted(names: Sequence[str]) -> dict[str, int]:
    """How often each occurs; a Counter costs more than all it counts here, as most requests have one row."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts
