"""How long the loop itself takes, beside the work that it orders: medians over one run. Pure.

ordered_to_run        the record on which a run was decided is taken -> that run begins, by its card (wall clock). With it: the
                      controller, and Ray's start of a worker; for a frozen challenger also the trial of what served before.
made_to_shadow        a run's result is taken -> the first prediction that carries the candidate's output is. With it: the
                      controller, the route, the loading of the model; and the demo's sender, which stands still until the
                      route is served and then sends on.
evidence_to_champion  the newest label that the promoting evidence covers is taken -> the decision to promote is. With it: the
                      window's tick, monitor, agents, controller. The sender waits for it, so no row passes meanwhile.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from benchmarks.healing.live_log import LabelTaken, LiveLog
from streams import topics
from streams.codec import decode_control
from streams.events import Control, Decided, EvidenceGathered, RecallFinished, TrainingFinished

_ORDERS: Final = {
    TrainingFinished: frozenset({"TrainingStarted", "TrainingRetried"}),
    RecallFinished: frozenset({"RecallStarted", "TrainingRetried"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Orchestration:
    """Seconds by part, one for each time that it happened."""

    seconds: Mapping[str, tuple[float, ...]]

    @property
    def medians(self) -> dict[str, float | None]:
        """By part; None where it never happened."""
        return {part: round(statistics.median(found), 3) if found else None for part, found in self.seconds.items()}

    @property
    def counts(self) -> dict[str, int]:
        """How often each happened."""
        return {part: len(found) for part, found in self.seconds.items()}

    @property
    def total(self) -> float | None:
        """Sum of the medians; None unless every part happened."""
        medians = [median for median in self.medians.values() if median is not None]
        return round(sum(medians), 3) if len(medians) == len(self.seconds) else None


def orchestration(log: LiveLog) -> Orchestration:
    """All parts of one model's run."""
    decisions, told = list(log.decisions()), _told(log)
    return Orchestration(
        seconds={
            "ordered_to_run": tuple(_ordered_to_run(log, decisions, told)),
            "made_to_shadow": tuple(_made_to_shadow(log, decisions, told)),
            "evidence_to_champion": tuple(_evidence_to_champion(log, decisions, told)),
        }
    )


def _told(log: LiveLog) -> dict[str, tuple[datetime, Control]]:
    """Records about the model, and when the broker took them first: a repeat acts no more."""
    key = log.model.encode()
    found: dict[str, tuple[datetime, Control]] = {}
    for message in log.control:
        if message.key == key:
            record = decode_control(message.value)
            found.setdefault(record.id, (message.broker_time, record))
    return found


def _ordered_to_run(log: LiveLog, decisions: list[Decided], told: Mapping[str, tuple[datetime, Control]]) -> Iterator[float]:
    for identity, (_, record) in told.items():
        if identity in log.began and isinstance(record, TrainingFinished | RecallFinished):
            kinds = _ORDERS[type(record)]
            # A decision's time is the broker's at its cause. The newest order: an attempt that gave no result is no delay of ours.
            ordered = [one.at for one in decisions if one.kind in kinds and one.run == record.run]
            if ordered:
                yield (log.began[identity] - ordered[-1]).total_seconds()


def _made_to_shadow(log: LiveLog, decisions: list[Decided], told: Mapping[str, tuple[datetime, Control]]) -> Iterator[float]:
    for decision in decisions:
        if decision.kind == "ShadowStarted" and decision.cause in told:
            made, record = told[decision.cause]
            if isinstance(record, TrainingFinished | RecallFinished):  # else it had to wait for its turn, or a person offered it
                tried = log.tried_at.get(record.release, ())
                first = bisect_left(tried, made)
                if first < len(tried):
                    yield (tried[first] - made).total_seconds()


def _evidence_to_champion(
    log: LiveLog, decisions: list[Decided], told: Mapping[str, tuple[datetime, Control]]
) -> Iterator[float]:
    for decision in decisions:
        if decision.kind == "Promoted" and decision.cause in told:
            record = told[decision.cause][1]
            if isinstance(record, EvidenceGathered):  # else a person or the clock promoted
                covered = [label.at for label in log.labels if _covers(record, label)]
                if covered:
                    yield (log.decided_at[decision.id] - max(covered)).total_seconds()


def _covers(evidence: EvidenceGathered, label: LabelTaken) -> bool:
    return label.offset < evidence.covers.get(f"{topics.LABELS}-{label.partition}", 0)
