"""What the agents count of themselves, for Prometheus."""

from __future__ import annotations

from typing import Final

from drift.feature_watch import ratios
from drift.monitoring import Signal, State
from streams import metric_names as metrics
from streams import topics
from streams.adapters.prometheus import Meters
from streams.events import UNIT, DriftDetected, LossesGathered, QualityIncident, WindowCounted

ROLE: Final = "agents"


class AgentsMeters:
    """One method for each thing that happens."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters

    def folded(self, window: WindowCounted, *, before: State, now: State, signals: tuple[Signal, ...]) -> None:
        """A window was folded (or dropped as a repeat: then the state stands)."""
        self._meters.counter(metrics.RECORDS_READ, role=ROLE, topic=topics.WINDOWS).inc()
        if now.models.get(window.model) is not before.models.get(window.model):
            self._meters.counter(metrics.ROWS_FOLDED, model=window.model, topic=window.topic).inc(window.rows)
        champion = now.models[window.model].champion
        for signal in signals:
            if isinstance(signal, DriftDetected):
                self._meters.counter(metrics.DRIFT_ALARMS, model=signal.model, feature=signal.feature).inc()
            elif isinstance(signal, QualityIncident) and not signal.closed:
                rule = signal.rule
                self._meters.counter(metrics.INCIDENTS_CALLED, model=signal.model, feature=rule.feature, kind=rule.kind).inc()
            elif isinstance(signal, LossesGathered) and signal.release == champion and signal.n:
                self._meters.gauge(metrics.ACCURACY, model=signal.model).set(signal.loss / UNIT / signal.n)

    def standing(self, state: State) -> None:
        """Where the detectors of every model stand."""
        for name, model in state.models.items():
            self._meters.gauge(metrics.INCIDENTS_LASTING, model=name).set(len(model.triage.incidents))
            if model.watch is not None:
                self._meters.gauge(metrics.DETECTORS_ARMED, model=name).set(int(model.watch.armed))
                for feature, ratio in ratios(model.watch).items():
                    self._meters.gauge(metrics.DRIFT_STATISTIC, model=name, feature=feature).set(ratio)

    def hole(self, model: str) -> None:
        """A window was refused."""
        self._meters.counter(metrics.WINDOW_HOLES, model=model).inc()

    def dead_letter(self, reason: str) -> None:
        """A window could not be used."""
        self._meters.counter(metrics.DEAD_LETTERS, role=ROLE, topic=topics.WINDOWS, reason=reason).inc()

    def blocked(self, yes: bool) -> None:
        """Windows wait for a policy or a release."""
        self._meters.gauge(metrics.PARTITIONS_BLOCKED, role=ROLE, topic=topics.WINDOWS).set(int(yes))

    def lag(self, records: int) -> None:
        """Windows not folded yet."""
        self._meters.gauge(metrics.LAG_RECORDS, role=ROLE, topic=topics.WINDOWS).set(records)

    def challenger_rows(self, model: str, outcome: str, n: int) -> None:
        """Label rows came to this: scored | undrawn | left_out | unfound."""
        self._meters.counter(metrics.CHALLENGER_ROWS, model=model, outcome=outcome).inc(n)

    def challenger_began(self, model: str) -> None:
        """A challenger began anew."""
        self._meters.counter(metrics.CHALLENGER_BEGINNINGS, model=model).inc()

    def challenger_failed(self, model: str) -> None:
        """A challenger raised."""
        self._meters.counter(metrics.CHALLENGER_FAILURES, model=model).inc()

    def challenger_off(self, model: str, yes: bool) -> None:
        """Whether a model goes without one."""
        self._meters.gauge(metrics.CHALLENGER_OFF, model=model).set(int(yes))

    def challenger_turned(self, model: str, *, seconds: float, waiting: int) -> None:
        """A challenger looked at the lake."""
        self._meters.counter(metrics.CHALLENGER_SECONDS, model=model).inc(seconds)
        self._meters.gauge(metrics.CHALLENGER_LAG, model=model).set(waiting)
