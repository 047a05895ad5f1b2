"""Why a decision was made: from it back to the root, one cause after the other; and what followed from it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Final

from homeostat.model_view import model_view
from streams.events import (
    AcceptChange,
    Approve,
    Control,
    Decided,
    EvidenceGathered,
    QualityIncident,
    QuarantineRule,
    RecallFinished,
    ReleaseQuarantine,
    Resume,
    Ticked,
    TrainingFailed,
    TrainingFinished,
)

LONGEST_CHAIN: Final = 64
_ORDERS: Final = frozenset({"RecallStarted", "TrainingStarted", "TrainingRetried"})
_ROUTE_STEPS: Final = frozenset({"ShadowStarted", "StepTaken", "Promoted"})

RecordOf = Callable[[Decided], Control | None]
"""The record of `control` that a decision was made on; None: it is no longer kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A decision, the record it was made on, and what was decided on that record before it, newest first."""

    decision: Decided
    record: Control | None
    together: tuple[Decided, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`chain`: the decision first, its root last. `followed`: later decisions that would not be without it, oldest first.

    `over`: nothing more is to come of it by itself.
    """

    chain: tuple[Link, ...]
    followed: tuple[Decided, ...]
    over: bool


def explain(decision: Decided, decisions: Sequence[Decided], record_of: RecordOf) -> Explanation:
    """All about one of a model's decisions, which come oldest first."""
    places = {(each.id, each.at): place for place, each in enumerate(decisions)}
    chain: list[Link] = []
    at: int | None = places[decision.id, decision.at]
    while at is not None and len(chain) < LONGEST_CHAIN:
        link = _link(decisions, at, record_of)
        chain.append(link)
        at = _cause(decisions, at - len(link.together), link.record, record_of)
    place = places[decision.id, decision.at]
    runs = {one.run for one in decisions[place:] if one.run and _same_record(one, decision)}
    return Explanation(chain=tuple(chain), followed=_followed(decisions, place, runs), over=_over(decision, decisions, runs))


def _link(decisions: Sequence[Decided], at: int, record_of: RecordOf) -> Link:
    decision = decisions[at]
    first = at
    while first > 0 and _same_record(decisions[first - 1], decision):
        first -= 1
    return Link(decision=decision, record=record_of(decision), together=tuple(reversed(decisions[first:at])))


def _same_record(one: Decided, other: Decided) -> bool:
    return (one.partition, one.offset, one.cause, one.at) == (other.partition, other.offset, other.cause, other.at)


def _cause(decisions: Sequence[Decided], first: int, record: Control | None, record_of: RecordOf) -> int | None:
    """The place of the decision that the record itself came of, among those before `first`; None: the record is a root."""
    run = next((one.run for one in decisions[first:] if one.run and _same_record(one, decisions[first])), "")
    match record:
        case TrainingFinished() | TrainingFailed() | RecallFinished():
            return _last(decisions, first, lambda one: one.run == record.run and one.kind in _ORDERS)
        case EvidenceGathered():
            tried = record.release if record.arm == "candidate" else record.champion
            return _last(decisions, first, lambda one: one.release == tried and one.kind in _ROUTE_STEPS)
        case Ticked():
            return _last(decisions, first, lambda one: bool(run) and one.run == run and one.kind in _ORDERS | _ROUTE_STEPS)
        case Approve():
            return _last(decisions, first, lambda one: one.id == record.decision)
        case Resume():
            return _last(decisions, first, lambda one: one.kind == "Paused")
        case QualityIncident() if record.closed:
            return _opened(decisions, first, record_of, lambda rule: rule.incident == record.rule.incident)
        case ReleaseQuarantine():
            return _opened(decisions, first, record_of, lambda rule: rule.incident == record.incident)
        case AcceptChange():
            return _opened(decisions, first, record_of, lambda rule: rule.feature == record.feature)
        case _:
            return None


def _opened(
    decisions: Sequence[Decided], before: int, record_of: RecordOf, wanted: Callable[[QuarantineRule], bool]
) -> int | None:
    def is_wanted(one: Decided) -> bool:
        opening = record_of(one) if one.kind == "IncidentOpened" else None
        return isinstance(opening, QualityIncident) and wanted(opening.rule)

    return _last(decisions, before, is_wanted)


def _last(decisions: Sequence[Decided], before: int, wanted: Callable[[Decided], bool]) -> int | None:
    return next((place for place in range(before - 1, -1, -1) if wanted(decisions[place])), None)


def _followed(decisions: Sequence[Decided], at: int, runs: Set[str]) -> tuple[Decided, ...]:
    """What was decided on the same record after it, and every later decision of the runs that these are about."""
    decision = decisions[at]
    return tuple(one for one in decisions[at + 1 :] if _same_record(one, decision) or (one.run and one.run in runs))


def _over(decision: Decided, decisions: Sequence[Decided], runs: Set[str]) -> bool:
    """Whether its runs have ended; of no run: whether nobody is asked for a word."""
    if not runs:
        return decision.kind != "ApprovalWanted"
    return all(run.over for run in model_view(decisions).runs if run.run in runs)
