"""Windows in, signals out: the pure fold that the agents host.

`advance(state, item)` takes one `ModelKnown` (who serves, by what reference and policy) or one `WindowCounted`, in the
order of a `windows` partition, and returns the records it made for `control`. Rules:

- The first window of a (model, topic, partition) is accepted whatever it follows: retention or a lost snapshot may have
  taken those before it. A later one is accepted when it names the last accepted one as its predecessor; a repeat is
  dropped; anything else is a `Hole`: counts would be wrong, so the model stops there.
- Ids derive from causes, `at` from the window: the same windows give the same records, wherever a restart cut them.
- The triage comes first: what it calls a data bug is no drift, and what was predicted while nobody knew of it no loss.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from drift import evidence as canary
from drift import feature_watch, periods, signals, triage
from drift.evidence import Evidence
from drift.feature_watch import Watch
from drift.periods import Periods
from drift.signals import ACTOR, Signal
from drift.triage import Triage
from streams.contract import Contract
from streams.events import WindowCounted, derived_id
from streams.policy import Policy
from streams.profile import Profile

__all__ = ["ACTOR", "Hole", "Link", "ModelKnown", "ModelState", "ModelUnknown", "Signal", "State", "advance", "names_newer"]


class ModelKnown(msgspec.Struct, frozen=True, kw_only=True):
    """Who serves a model, by what reference, under which policy. No champion: no window has named one yet."""

    model: str
    policy: Policy
    generation: int = -1
    champion: str = ""
    profile: Profile | None = None
    contract: Contract | None = None
    accepted: tuple[str, ...] = ()
    """Features of which a person said, since the last of these, that they really changed."""
    released: tuple[str, ...] = ()
    """Incidents that a person ended since."""
    heard_until: datetime | None = None
    """Broker time of the newest such word."""


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
    triage: Triage = Triage()
    heard_until: datetime | None = None


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
    learnt = msgspec.structs.replace(
        before,
        policy=known.policy,
        generation=generation,
        champion=champion,
        heard_until=known.heard_until or before.heard_until,
    )
    if known.profile is not None and known.contract is not None:
        learnt = _looking_by(learnt, before, known, known.profile, known.contract)
    heard = triage.told(learnt.triage, accepted=known.accepted, released=known.released)
    return msgspec.structs.replace(learnt, triage=heard)


def _looking_by(model: ModelState, before: ModelState, known: ModelKnown, profile: Profile, contract: Contract) -> ModelState:
    """Fit detectors and triage to the champion's reference, where it or what is asked of them is new."""
    watch, triaged, policy = model.watch, model.triage, model.policy
    if model.champion != before.champion or policy.drift != before.policy.drift or watch is None:
        drift = msgspec.json.encode(policy.drift).decode()
        watch = feature_watch.fitted(
            release=model.champion,
            cause=derived_id(known.model, model.champion, model.generation, "detectors", drift),
            profile=profile,
            contract=contract,
            policy=policy.drift,
        )
    if model.champion != triaged.release or policy.log != before.policy.log:
        triaged = triage.fitted(triaged, release=model.champion, profile=profile, contract=contract, policy=policy)
    return msgspec.structs.replace(model, watch=watch, triage=triaged)


def _folded(model: ModelState, window: WindowCounted) -> tuple[ModelState, tuple[Signal, ...]]:
    triaged, called = triage.fold(model.triage, window, enabled=model.policy.quarantine.enabled)
    told: list[Signal] = [signals.quality_incident(window, model.champion, call) for call in called.calls]
    counted = model.periods
    for since, until in called.left_out:
        counted = periods.leave_out(counted, since, until)
    counted, closed = periods.count(counted, window, model.policy.staleness)
    for period in closed:
        told += signals.losses_gathered(window, period, model.policy.staleness.maturity)
    gathered, grown = canary.count(model.evidence, window, model.generation)
    covers = {place: link.end_offset for place, link in sorted(model.chain.items())}
    told += [signals.evidence_gathered(window, one, covers) for one in grown]
    watch = model.watch
    if watch is not None:
        for call in called.calls:
            watch = feature_watch.rested(watch, call.rule, window.at)
        watch, seen = feature_watch.look(watch, window, resting=triaged.incidents)
        if seen.armed:
            told.append(signals.detectors_armed(window, watch))
        told += [signals.drift_detected(window, watch, stream, alarm) for stream, alarm in seen.alarms]
    return msgspec.structs.replace(model, periods=counted, evidence=gathered, watch=watch, triage=triaged), tuple(told)
