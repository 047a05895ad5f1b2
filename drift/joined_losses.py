"""The champion's losses and the challenger's, joined by period: what the staleness rule measures.

    LossesGathered    a period is closed; the champion's own losses in it
    ChallengerScored  what the challenger lost beside it on the rows of one lake file; a period's rows lie in several
    -> Measured       once per closed period, in their order

A closed period waits until the challenger has seen all its labelled rows, or has passed on to two newer ones that are closed: then
it is measured on the rows there are, and on none it counts as one without labels. After `silent_periods` without a word, or where
the policy has no challenger, the champion's own loss is measured instead, and the challenger again once it has been heard in four
periods, in time; at each change the account starts anew, since the numbers speak of something else.

With a share of the rows drawn, the drawn ones say how much worse a row is, and all labelled ones how many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import msgspec

from drift.staleness import PeriodMeasured
from streams.events import UNIT, ChallengerScore, ChallengerScored, LossesGathered
from streams.policy import ChallengerPolicy
from streams.topics import LABELS, named

PASSED_ON: Final = 2
"""Newer closed periods of which the challenger has spoken: it will not speak of this one again."""
HEARD_PERIODS: Final = 4
"""Periods in which the challenger must be heard before it is measured against again."""
MOST_PERIODS: Final = 1_024
"""Of which scores are kept: the oldest, since those close next. A policy's maturity is shorter (`streams/policy_limits.py`)."""
FILES_KEPT: Final = 32
"""Of a partition of `labels`, the newest that were scored: what is told again lies among them."""
PARTITIONS: Final = named(LABELS).partitions
LONGEST_STRETCH: Final = 2**24
"""Offsets of one lake file: many times the rows that one may hold."""
MOST_RELEASES: Final = 8
"""In one period."""
MOST_ROWS: Final = 2**40
"""Of one release in one period; sums of more would not fit a snapshot's integers."""


class Scores(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Of one release in one period, UNITs."""

    labelled: int = 0
    n: int = 0
    difference: int = 0
    difference_squared: int = 0


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A closed period, and the event time at which its labels were in."""

    at: datetime
    release: str
    period: int
    n: int
    loss: int
    loss_squared: int


class JoinedLosses(msgspec.Struct, frozen=True, kw_only=True):
    """The join of one model."""

    files: dict[int, tuple[int, ...]] = {}
    """By partition of `labels`, first offsets of the lake files that were scored last."""
    scores: dict[int, dict[str, Scores]] = {}
    """By period and release."""
    waiting: tuple[Waiting, ...] = ()
    """Closed periods, the oldest first."""
    own: bool = False
    """The champion's own loss is measured."""
    silent: int = 0
    """Periods in a row of which the challenger said nothing."""
    heard: tuple[int, ...] = ()
    """While `own`: the newest periods in which it was heard."""
    measured_until: int = -1
    """The newest period that was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One closed period, ready for the staleness rule."""

    closed: Waiting
    losses: PeriodMeasured
    own: bool
    """They are the champion's own; otherwise they are measured against the challenger."""
    changed: str = ""
    """Why something else is measured from this period on; empty: it is not."""
    labelled: int
    """Labelled rows that the challenger has seen of it."""


Step = tuple[JoinedLosses, tuple[Measured, ...]]


def refusal(state: JoinedLosses, record: ChallengerScored, *, newest: int) -> str:
    """Why a record cannot be used; '' when it can. `newest`: the period in which it was written."""
    stretch = record.end_offset - record.first_offset
    if not 0 <= record.partition < PARTITIONS or record.first_offset < 0 or not 0 < stretch <= LONGEST_STRETCH:
        return f"no stretch of labels: partition {record.partition}, offsets {record.first_offset} to {record.end_offset}"
    if record.first_offset in state.files.get(record.partition, ()):
        return f"repeated: the file of labels-{record.partition} from offset {record.first_offset} is scored"
    if (rows := sum(score.labelled for score in record.scores)) > record.end_offset - record.first_offset:
        return f"impossible sums: {rows} labelled rows in {record.end_offset - record.first_offset} offsets"
    for score in record.scores:
        sums = (score.champion, score.challenger, score.difference_squared)
        if score.period > newest:
            return f"period {score.period} lies beyond the time at which it is told, {record.at.isoformat()}"
        if not 0 <= score.n <= score.labelled or not all(0 <= units <= score.n * UNIT for units in sums):
            return f"impossible sums in period {score.period}: {score.labelled} labelled, n={score.n}, {sums}"
    return ""


def scored(state: JoinedLosses, record: ChallengerScored, policy: ChallengerPolicy) -> Step:
    """Take what the challenger made of one lake file; the record was found usable."""
    scores = dict(state.scores)
    heard = set(state.heard)
    for score in record.scores:
        if score.period < 0:
            continue  # no period before 1970 is ever closed
        if score.n and score.period > state.measured_until - policy.silent_periods // 2:
            heard.add(score.period)  # in time: a period would wait so long for it
        if score.period <= state.measured_until:
            continue
        releases = scores.get(score.period, {})
        after = _plus(releases.get(score.release, Scores()), score)
        if after.labelled <= MOST_ROWS and (score.release in releases or len(releases) < MOST_RELEASES):
            scores[score.period] = {**releases, score.release: after}
    kept = {period: scores[period] for period in sorted(scores)[:MOST_PERIODS]}
    files = (*state.files.get(record.partition, ()), record.first_offset)[-FILES_KEPT:]
    newest = tuple(sorted(heard))[-HEARD_PERIODS:] if state.own else ()
    return _measured(
        msgspec.structs.replace(state, files={**state.files, record.partition: files}, scores=kept, heard=newest), policy
    )


def gathered(state: JoinedLosses, record: LossesGathered, policy: ChallengerPolicy) -> Step:
    """Take a closed period of the champion."""
    closed = Waiting(
        at=record.at,
        release=record.release,
        period=record.period,
        n=record.n,
        loss=record.loss,
        loss_squared=record.loss_squared,
    )
    return _measured(msgspec.structs.replace(state, waiting=(*state.waiting, closed)), policy)


def in_other_periods(state: JoinedLosses) -> JoinedLosses:
    """The policy cuts time anew: nothing waits, and what was scored is of other periods."""
    return JoinedLosses(files=state.files, own=state.own)


def in_new_log(state: JoinedLosses) -> JoinedLosses:
    """The log begins anew: its offsets say nothing of the old one's."""
    return JoinedLosses(own=state.own)


def _measured(state: JoinedLosses, policy: ChallengerPolicy) -> Step:
    measured: list[Measured] = []
    while state.waiting:
        closed = state.waiting[0]
        found = state.scores.get(closed.period, {}).get(closed.release, Scores())
        own = _measures_own(state, policy)
        given_up = len(state.waiting) > policy.silent_periods
        if not own and found.labelled < closed.n and _spoken_of(state, state.waiting[1:]) < PASSED_ON and not given_up:
            break
        heard = own or found.n > 0
        silent = 0 if heard else state.silent + (closed.n > 0)  # an empty period is neither a word nor silence
        gives_up = not own and (silent >= policy.silent_periods or (given_up and not _spoken_of(state, state.waiting)))
        changed = _changed(state, policy, own=own or gives_up)
        losses = _own_loss(closed) if own or gives_up else _against_challenger(found, offered=policy.candidate)
        measured.append(Measured(closed=closed, losses=losses, own=own or gives_up, changed=changed, labelled=found.labelled))
        state = msgspec.structs.replace(
            state,
            waiting=state.waiting[1:],
            own=own or gives_up,
            silent=0 if gives_up else silent,
            heard=state.heard if own else (),
            measured_until=closed.period,
            scores={period: by for period, by in state.scores.items() if period > closed.period},
        )
    return state, tuple(measured)


def _measures_own(state: JoinedLosses, policy: ChallengerPolicy) -> bool:
    if not policy.enabled:
        return True
    return state.own and len(state.heard) < HEARD_PERIODS


def _spoken_of(state: JoinedLosses, waiting: tuple[Waiting, ...]) -> int:
    """Of how many of these the challenger has scored a row."""
    return sum(any(one.n for one in state.scores.get(closed.period, {}).values()) for closed in waiting)


def _changed(state: JoinedLosses, policy: ChallengerPolicy, *, own: bool) -> str:
    if own == state.own:
        return ""
    if not own:
        return "the challenger is heard again: the champion is measured against it from here on"
    if not policy.enabled:
        return "no challenger under this policy: the champion's own loss is measured from here on"
    return f"the challenger said nothing of {policy.silent_periods} periods: the champion's own loss is measured from here on"


def _own_loss(closed: Waiting) -> PeriodMeasured:
    return _period(closed.n, closed.loss, closed.loss_squared)


def _against_challenger(found: Scores, *, offered: bool) -> PeriodMeasured:
    drawn = _period(found.n, found.difference, found.difference_squared)
    if not found.n:
        return replace(drawn, offered=offered)
    # As sure as the drawn rows make it, and worth what all rows are.
    row_variance = drawn.row_variance * found.labelled / found.n
    return replace(drawn, rows=found.labelled, row_variance=row_variance, offered=offered)


def _period(rows: int, units: int, squared: int) -> PeriodMeasured:
    if not rows:
        return PeriodMeasured(rows=0, difference=0.0, row_variance=0.0)
    mean = units / UNIT / rows
    return PeriodMeasured(rows=rows, difference=mean, row_variance=max(squared / UNIT / rows - mean * mean, 0.0))


def _plus(before: Scores, score: ChallengerScore) -> Scores:
    return Scores(
        labelled=before.labelled + score.labelled,
        n=before.n + score.n,
        difference=before.difference + score.champion - score.challenger,
        difference_squared=before.difference_squared + score.difference_squared,
    )
