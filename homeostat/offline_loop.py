"""The whole loop replayed without Kafka: staleness, recall, challenger, training, gate and canary exactly as the controller folds them.

Rows are numbered as in the stream. A label is known 48 rows later; the sender waits for the loop at its sync points, so a
training costs no rows and evidence comes once a sync. Where the real loop draws lots (which rows the candidate answers)
this one draws its own, seeded.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from drift import staleness
from drift.staleness import Assessment, ChampionReplaced, RunRefused, Staleness, TrainingTaken
from homeostat.demo.calendar import next_stop
from homeostat.demo_policy import IDLE_SYNC_ROWS, LABEL_DELAY_ROWS, ROLLOUT_SYNC_ROWS
from homeostat.electricity import BEGIN, STEP, Columns
from homeostat.offline import Fitted, Wrong, fit
from homeostat.offline_candidates import frozen, recalled, trained
from homeostat.offline_challenger import OfflineChallenger
from homeostat.offline_result import LoopReplay, Tried
from serving import canary
from serving.canary import CandidateReady, ChampionSet, Rollout, Shift
from streams.events import UNIT, ArmEvidence, EvidenceGathered, derived_id
from streams.policy import Policy

_NOON: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Controller time stands still: no deadline passes in a replay."""


@dataclass(slots=True, kw_only=True)
class _Loop:
    """The mutable position of one replay."""

    columns: Columns
    policy: Policy
    rng: np.random.Generator
    models: dict[str, Fitted]
    scored_from: dict[str, int]
    rollout: Rollout
    account: Staleness = field(default_factory=Staleness)
    began: dict[tuple[int, int], tuple[int, float]] = field(default_factory=dict)
    """(generation, step) to its first row and the candidate's share."""
    answered: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    seen_generation: int = 0
    tried_since: int = 0
    period: int = 0
    due: int = 0
    shadow_labelled: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    """Of the answers given, stretch by stretch."""
    trainings: int = 0
    challenger: OfflineChallenger | None
    recalled: str = ""
    """The release under trial, if it came from a recall."""
    frozen: set[str] = field(default_factory=set)
    """Releases that are frozen challengers."""
    frozen_in_vain: bool = False
    tried: list[Tried] = field(default_factory=list)


def replay_loop(
    columns: Columns,
    policy: Policy,
    *,
    look_rows: int = ROLLOUT_SYNC_ROWS,
    seed: int = 0,
    start: int | None = None,
    challenger: OfflineChallenger | None = None,
) -> LoopReplay:
    """Replay the stream after its first `start` rows (a tenth), with the demo's stops.

    `look_rows`: most rows between two looks at evidence. Without a challenger the champion's own loss is measured.
    """
    first = columns.first_rows if start is None else start
    champion = fit(columns, 0, first, policy.training.parameters)
    rollout, _ = canary.advance(Rollout(), ChampionSet("first", _NOON), policy.canary)
    loop = _Loop(
        columns=columns,
        policy=policy,
        rng=np.random.default_rng(seed),
        models={"first": champion},
        scored_from={"first": first},
        rollout=rollout,
        challenger=challenger,
        # The period it starts in is a part of one: not measured, as in the real loop.
        period=staleness.period_of(BEGIN + first * STEP, policy.staleness) + 1,
    )
    row, total, stop, since = first, len(columns), first, None
    while row < total:
        if row == stop:
            _close_periods(loop, row)
            since = _tried_since(loop, row)
            stop = next_stop(row, since)
        until = min(stop, total, row + (IDLE_SYNC_ROWS if loop.rollout.phase == "idle" else look_rows))
        _serve(loop, row, until)
        row = until
        _gather_evidence(loop, row)
    _close_periods(loop, row)
    if loop.rollout.phase in ("shadow", "stepping"):
        _ended(loop, "open", row)
    wrong = np.concatenate(loop.wrong)
    return LoopReplay(accuracy=1.0 - float(wrong.mean()), trainings=loop.trainings, tried=tuple(loop.tried), wrong=wrong)


def _tried_since(loop: _Loop, row: int) -> int | None:
    """The row at which the present route came to serve a candidate, as the sender sees it at its stop."""
    if not loop.rollout.candidate:
        return None
    if loop.rollout.generation != loop.seen_generation:
        loop.seen_generation, loop.tried_since = loop.rollout.generation, row
    return loop.tried_since


def _rows_of(period: int, policy: Policy) -> tuple[int, int]:
    begin = datetime(1970, 1, 1, tzinfo=UTC) + period * policy.staleness.period
    return -((BEGIN - begin) // STEP), -((BEGIN - begin - policy.staleness.period) // STEP)


def _serve(loop: _Loop, begin: int, end: int) -> None:
    rollout = loop.rollout
    wrong = loop.models[rollout.champion].wrong[begin:end]
    if rollout.candidate:
        by_candidate = loop.rng.random(end - begin) < rollout.share
        wrong = np.where(by_candidate, loop.models[rollout.candidate].wrong[begin:end], wrong)
        counts = loop.answered.setdefault((rollout.generation, rollout.step), [0, 0])
        counts[0] += int((~by_candidate).sum())
        counts[1] += int(by_candidate.sum())
    loop.wrong.append(wrong)


def _gather_evidence(loop: _Loop, row: int) -> None:
    """One record for every (generation, step) that got labels or exposure, the oldest first."""
    for stage in loop.rollout.stages:
        rollout = loop.rollout
        if stage not in rollout.stages:
            continue
        begin = loop.began[(stage.generation, stage.step)][0]
        later = [first for (generation, _), (first, _) in loop.began.items() if generation > stage.generation]
        end = max(min([row - LABEL_DELAY_ROWS, *later]), begin)
        new, old = (rollout.tried, rollout.incumbent) if stage.arm == "candidate" else (rollout.control, rollout.champion)
        mine, theirs = loop.models[new].wrong[begin:end], loop.models[old].wrong[begin:end]
        worse, better = int((mine & ~theirs).sum()), int((theirs & ~mine).sum())
        champion_rows, candidate_rows = loop.answered.get((stage.generation, stage.step), [row - begin, 0])
        event = EvidenceGathered(
            id=derived_id("replay", stage.generation, stage.step, row),
            at=_NOON,
            model="electricity",
            actor="replay",
            reason="",
            generation=stage.generation,
            step=stage.step,
            release=new,
            arm=stage.arm,
            champion=old,
            covers={"predictions-0": row, "labels-0": max(end, 0)},
            n=end - begin,
            worse=worse,
            better=better,
            difference=(worse - better) * UNIT,
            difference_squared=(worse + better) * UNIT,
            arms=(
                ArmEvidence(arm="champion", release=old, answered=champion_rows, scored=champion_rows + candidate_rows),
                ArmEvidence(arm=stage.arm, release=new, answered=candidate_rows, scored=champion_rows + candidate_rows),
            ),
        )
        _advance(loop, event, row)


def _advance(loop: _Loop, event: canary.Event, row: int) -> None:
    labelled = loop.rollout.wealths.rows
    loop.rollout, commands = canary.advance(loop.rollout, event, loop.policy.canary)
    for command in commands:
        if not isinstance(command, Shift):
            continue
        loop.began[(loop.rollout.generation, loop.rollout.step)] = (row, loop.rollout.share)
        if command.kind in ("StepTaken", "CandidateRejected") and not loop.shadow_labelled:
            loop.shadow_labelled = max(int(command.numbers.get("labelled", labelled)), 1)
        kind = loop.rollout.champion in loop.frozen
        if command.kind == "Promoted":
            loop.frozen_in_vain = False
            loop.account, _ = staleness.advance(loop.account, ChampionReplaced(frozen=kind), loop.policy.staleness)
            _ended(loop, "promoted", row)
        elif command.kind in ("CandidateRejected", "RolledBack"):
            loop.frozen_in_vain = command.release in loop.frozen
            loop.account, _ = staleness.advance(loop.account, RunRefused(frozen=kind), loop.policy.staleness)
            _ended(loop, command.kind, row)


def _ended(loop: _Loop, outcome: str, row: int) -> None:
    release, loop.recalled = loop.recalled, ""
    ended = Tried(
        due=loop.due,
        outcome=outcome,
        ended=row,
        shadow_labelled=loop.shadow_labelled,
        recalled=release != "" and release not in loop.frozen,
        frozen=release in loop.frozen,
    )
    loop.tried.append(ended)
    loop.shadow_labelled = 0


def _close_periods(loop: _Loop, row: int) -> None:
    """Every period whose labels are all known: the champion's losses on the rows it scored in it."""
    while True:
        begin, end = _rows_of(loop.period, loop.policy)
        if end > row - LABEL_DELAY_ROWS:
            return
        loop.period += 1
        champion = loop.rollout.champion
        begin = max(begin, loop.scored_from[champion])
        if begin >= end:
            continue
        other = loop.challenger.wrong[begin:end] if loop.challenger is not None else np.zeros(end - begin)
        offered = loop.challenger is not None and loop.policy.challenger.candidate and not loop.frozen_in_vain
        measured = replace(staleness.measured(loop.models[champion].wrong[begin:end], other), offered=offered)
        loop.account, (assessment,) = staleness.advance(loop.account, measured, loop.policy.staleness)
        if assessment.buy:
            _bought(loop, row, assessment)


def _bought(loop: _Loop, row: int, assessment: Assessment) -> None:
    """As the controller does: a release that served before, if one is proved better; else the challenger, or a training."""
    loop.due = row
    loop.account, _ = staleness.advance(loop.account, TrainingTaken(), loop.policy.staleness)
    release = recalled(loop.models, loop.rollout, loop.policy, row - LABEL_DELAY_ROWS)
    if release:
        loop.recalled = release
        _offer(loop, row, release, loop.models[release])
    elif assessment.option != "challenger" or not _froze(loop, row):
        if assessment.training_pays:
            _train(loop, row)
        else:
            loop.frozen_in_vain = True
            _refused(loop, row)


def _froze(loop: _Loop, row: int) -> bool:
    """Whether the challenger, as it is, passes its gate and is tried."""
    assert loop.challenger is not None  # or else it is not offered
    champion, known = loop.rollout.champion, row - LABEL_DELAY_ROWS
    candidate = frozen(
        loop.challenger,
        loop.policy,
        known=known,
        champion=loop.models[champion],
        served_from=loop.scored_from[champion],
    )
    if candidate is None:
        return False
    name = f"frozen-{row}"
    loop.recalled = name
    loop.frozen.add(name)
    _offer(loop, row, name, candidate)
    return True


def _train(loop: _Loop, row: int) -> None:
    loop.trainings += 1
    champion = loop.models[loop.rollout.champion]
    candidate = trained(loop.columns, loop.policy, known=row - LABEL_DELAY_ROWS, champion=champion)
    if candidate is None:
        loop.frozen_in_vain = False
        _refused(loop, row)
    else:
        _offer(loop, row, f"trained-{loop.trainings}", candidate)


def _refused(loop: _Loop, row: int) -> None:
    loop.account, _ = staleness.advance(loop.account, RunRefused(), loop.policy.staleness)
    _ended(loop, "gate", row)


def _offer(loop: _Loop, row: int, name: str, candidate: Fitted) -> None:
    loop.models[name], loop.scored_from[name] = candidate, row
    _advance(loop, CandidateReady(release=name, run=f"{name} at {row}", at=_NOON), row)
