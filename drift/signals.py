"""The records that agents write to `control`, from what a window made of a model. Ids derive from causes, `at` from the window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from drift.detectors.cusum_bank import Alarm
from drift.evidence import Grown
from drift.feature_watch import Watch
from drift.incidents import Call
from drift.periods import ClosedPeriod
from streams.events import (
    DetectorsArmed,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    QualityIncident,
    WindowCounted,
    derived_id,
)

ACTOR: Final = "agents"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Signal: TypeAlias = LossesGathered | EvidenceGathered | DriftDetected | DetectorsArmed | QualityIncident


def losses_gathered(window: WindowCounted, closed: ClosedPeriod, maturity: timedelta) -> list[LossesGathered]:
    """The losses of each release in a closed period."""
    # Dated by the period and not by the window that happened to close it: a training bought now takes the rows up to here.
    known_at = _EPOCH + timedelta(seconds=(closed.period + 1) * closed.seconds) + maturity
    return [
        LossesGathered(
            id=derived_id(window.model, release, "losses", closed.period, closed.seconds),
            at=known_at,
            model=window.model,
            actor=ACTOR,
            reason=f"period closed: {closed.why}",
            release=release,
            period=closed.period,
            period_seconds=closed.seconds,
            n=tally.n,
            made=tally.made,
            loss=tally.loss,
            loss_squared=tally.loss_squared,
        )
        for release, tally in closed.releases
    ]


def evidence_gathered(window: WindowCounted, grown: Grown, covers: dict[str, int]) -> EvidenceGathered:
    """What is known of a step, told again."""
    step, paired = grown.step, grown.paired
    told = [f"{place}:{offset}" for place, offset in sorted(covers.items())]
    return EvidenceGathered(
        id=derived_id(window.model, step.generation, step.step, grown.arm, "evidence", *told),
        at=window.at,
        model=window.model,
        actor=ACTOR,
        reason=grown.why,
        generation=step.generation,
        step=step.step,
        release=grown.release,
        arm=grown.arm,
        champion=step.champion,
        covers=covers,
        n=paired.n,
        worse=paired.worse,
        better=paired.better,
        difference=paired.difference,
        difference_squared=paired.difference_squared,
        arms=grown.arms,
    )


def detectors_armed(window: WindowCounted, watch: Watch) -> DetectorsArmed:
    """The burn-in of a release ended."""
    return DetectorsArmed(
        id=derived_id(watch.cause, "armed"),
        at=window.at,
        model=window.model,
        actor=ACTOR,
        reason=f"{len(watch.tables)} streams watched after {watch.rows} live rows, {len(watch.off)} off",
        release=watch.release,
        rows=watch.rows,
        off=watch.off,
    )


def drift_detected(window: WindowCounted, watch: Watch, stream: str, alarm: Alarm) -> DriftDetected:
    """A stream left its reference."""
    return DriftDetected(
        id=derived_id(watch.cause, "drift", stream, *([watch.rearmed[stream]] if stream in watch.rearmed else [])),
        at=window.at,
        model=window.model,
        actor=ACTOR,
        reason=(
            f"{stream}: {alarm.alternative}, statistic {alarm.statistic:.1f} over {alarm.threshold:.1f} "
            f"since {alarm.since.isoformat()}, moved by {alarm.size:+.2f}"
        ),
        release=watch.release,
        feature=stream,
        statistic=alarm.statistic,
        threshold=alarm.threshold,
        since=alarm.since,
        size=alarm.size,
    )


def quality_incident(window: WindowCounted, release: str, call: Call) -> QualityIncident:
    """An incident opened or closed."""
    return QualityIncident(
        id=derived_id(window.model, call.rule.incident, "closed" if call.closed else "opened"),
        at=window.at,
        model=window.model,
        actor=ACTOR,
        reason=call.why,
        release=release,
        rule=call.rule,
        closed=call.closed,
        numbers=call.numbers,
    )
