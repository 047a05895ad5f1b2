"""Windows in, signals out: the pure fold that the agents host.

`advance(state, item)` takes one `ModelKnown` (who serves, by what reference and policy) or one `WindowCounted`, in the
order of a `windows` partition, and returns the records it made for `control`. Rules:

- The first window of a (model, topic, partition) is accepted whatever it follows: retention or a lost snapshot may have
  taken those before it. A later one is accepted when it names the last accepted one as its predecessor; a repeat is
  dropped; anything else is a `Hole`: counts would be wrong, so the model stops there.
- Ids derive from causes, `at` from the window: the same windows give the same records, wherever a restart cut them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from drift import evidence as canary
from drift import feature_watch, periods
from drift.detectors.cusum_bank import Alarm
from drift.evidence import Evidence, Grown
from drift.feature_watch import Watch
from drift.periods import ClosedPeriod, Periods
from streams.contract import Contract
from streams.events import (
    DetectorsArmed,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    WindowCounted,
    derived_id,
)
from streams.policy import Policy
from streams.profile import Profile

ACTOR: Final = "agents"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Signal = LossesGathered | EvidenceGathered | DriftDetected | DetectorsArmed


class ModelKnown(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves a model, by what reference, under which policy. No champion: no window has named one yet."""

    model: str
    policy: Policy
    generation: int = -1
    champion: str = ""
    profile: Profile | None = None
    contract: Contract | None = None


class Link(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The last accepted window of one (topic, partition)."""

    first_offset: int
    end_offset: int


class ModelState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one model."""

    policy: Policy
    generation: int
    champion: str
    chain: dict[str, Link] = {}
    """By 'topic-partition'."""
    rows: dict[str, int] = {}
    """Rows folded, by topic."""
    periods: Periods
    evidence: Evidence = Evidence()
    watch: Watch | None = None


class State(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about the models of one `windows` partition."""

    models: dict[str, ModelState] = {}


class Hole(Exception):
    """A window's predecessor is missing."""

    def __init__(self, window: WindowCounted, expected: int) -> None:
        super().__init__(
            f"window {window.first_offset} of {window.topic}-{window.partition} for model {window.model!r} follows window "
            f"{window.previous_first_offset}, but the last one folded is {expected}: windows are missing, so nothing of this "
            "model is folded any more. Write the missing windows and those after them again; or, once no window before the gap "
            "is kept, start the agents without their snapshot: they begin with the earliest windows that are."
        )
        self.window = window
        self.expected = expected


class ModelUnknown(Exception):
    """A window came before its model's policy."""


def advance(state: State, item: ModelKnown | WindowCounted) -> tuple[State, tuple[Signal, ...]]:
    """Fold one item. Raises Hole or ModelUnknown, and then the state stands."""
    before = state.models.get(item.model)
    if isinstance(item, ModelKnown):
        return _with(state, item.model, _learned(before, item)), ()
    if before is None:
        raise ModelUnknown(f"no policy is known of model {item.model!r}: hand in ModelKnown first")
    place = f"{item.topic}-{item.partition}"
    last = before.chain.get(place)
    if last is not None and item.first_offset <= last.first_offset:
        return state, ()
    if last is not None and item.previous_first_offset != last.first_offset:
        raise Hole(item, last.first_offset)
    chain = {**before.chain, place: Link(first_offset=item.first_offset, end_offset=item.end_offset)}
    rows = {**before.rows, item.topic: before.rows.get(item.topic, 0) + item.rows}
    now, signals = _folded(msgspec.structs.replace(before, chain=chain, rows=rows), item)
    return _with(state, item.model, now), signals


def names_newer(state: State, window: WindowCounted) -> tuple[int, str] | None:
    """The (generation, champion) that a window shows and the state does not know yet: ModelKnown is wanted before it.

    Generations that are not `trusted` are passed over: one from nowhere would hide every real champion after it.
    """
    model = state.models.get(window.model)
    known, evidence = (model.generation, model.evidence) if model is not None else (-1, Evidence())
    limit = canary.trusted(evidence, window, known)
    champions = (served for served in window.served if served.arm == canary.CHAMPION and served.generation <= limit)
    shown = [(served.generation, served.release) for served in champions]
    newest = max(shown, default=(-1, ""))
    return newest if newest[0] > known else None


def _with(state: State, model: str, now: ModelState) -> State:
    return State(models={**state.models, model: now})


def _learned(before: ModelState | None, known: ModelKnown) -> ModelState:
    if before is None:
        fresh = Periods(seconds=int(known.policy.staleness.period.total_seconds()))
        before = ModelState(policy=known.policy, generation=-1, champion="", periods=fresh)
    generation = max(known.generation, before.generation)
    champion = known.champion if known.generation >= before.generation else before.champion
    watch = before.watch
    refit = champion != before.champion or known.policy.drift != before.policy.drift or watch is None
    if refit and known.profile is not None and known.contract is not None:
        drift = msgspec.json.encode(known.policy.drift).decode()
        watch = feature_watch.fitted(
            release=champion,
            cause=derived_id(known.model, champion, generation, "detectors", drift),
            profile=known.profile,
            contract=known.contract,
            policy=known.policy.drift,
        )
    return msgspec.structs.replace(before, policy=known.policy, generation=generation, champion=champion, watch=watch)


def _folded(model: ModelState, window: WindowCounted) -> tuple[ModelState, tuple[Signal, ...]]:
    signals: list[Signal] = []
    counted, closed = periods.count(model.periods, window, model.policy.staleness)
    for period in closed:
        signals += _losses_gathered(window, period, model.policy.staleness.maturity)
    gathered, grown = canary.count(model.evidence, window, model.generation)
    covers = {place: link.end_offset for place, link in sorted(model.chain.items())}
    signals += [_evidence_gathered(window, one, covers) for one in grown]
    watch = model.watch
    if watch is not None:
        watch, seen = feature_watch.look(watch, window)
        if seen.armed:
            signals.append(_detectors_armed(window, watch))
        signals += [_drift_detected(window, watch, stream, alarm) for stream, alarm in seen.alarms]
    return msgspec.structs.replace(model, periods=counted, evidence=gathered, watch=watch), tuple(signals)


def _losses_gathered(window: WindowCounted, closed: ClosedPeriod, maturity: timedelta) -> list[LossesGathered]:
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
            n=tally.n,
            made=tally.made,
            loss=tally.loss,
            loss_squared=tally.loss_squared,
        )
        for release, tally in closed.releases
    ]


def _evidence_gathered(window: WindowCounted, grown: Grown, covers: dict[str, int]) -> EvidenceGathered:
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


def _detectors_armed(window: WindowCounted, watch: Watch) -> DetectorsArmed:
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


def _drift_detected(window: WindowCounted, watch: Watch, stream: str, alarm: Alarm) -> DriftDetected:
    return DriftDetected(
        id=derived_id(watch.cause, "drift", stream),
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
