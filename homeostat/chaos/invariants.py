"""What must be true of every schedule: each rule a pure function of its whole history that yields what breaks it.

`RULES` lists all of them: those of the log here, those of single records in `record_rules`, of rollouts in `rollout_rules`
and `way_out_rules`, of what is measured and of challengers in `measuring_rules` and `challenger_rules`, of routers in
`router_rules`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Final

from homeostat.chaos import challenger_rules, measuring_rules, record_rules, rollout_rules, router_rules, way_out_rules
from homeostat.chaos.history import History, Place, snapshot_owner
from streams.events import (
    Approve,
    ChallengerScored,
    Decided,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    RetrainRequested,
    Ticked,
)

Rule = Callable[[History], Iterator[str]]

_MAY_BE_SILENT: Final = (Ticked, LossesGathered, ChallengerScored)
"""Records on which nothing needs to be said: a tick before its deadline, losses of a release that does not serve, or whose period
waits for the challenger, and scores of a period that is not closed."""
_SELF_GUARDED: Final = (EvidenceGathered, LossesGathered, ChallengerScored, Ticked)
_BUYING: Final = (LossesGathered, ChallengerScored, DriftDetected)
"""Records of agents: nobody's word."""
ENDS: Final = frozenset({"TrainingEnded", "Recalled", "ChallengerFrozen"})
_STARTS: Final = frozenset({"RecallStarted", "TrainingStarted"})
_HELD: Final = frozenset({"TrainingStarted", "RecallStarted", "ShadowStarted", "StepTaken", "Promoted"})


def each_record_is_treated_once(history: History) -> Iterator[str]:
    """I1: every record of `control` is decided on, no decision stands twice, and none is about a record that is not there."""
    places: dict[Place, list[Decided]] = defaultdict(list)
    for decision in history.decisions:
        places[decision.partition, decision.offset].append(decision)
    for name, times in Counter(decision.id for decision in history.decisions).items():
        if times > 1:
            yield f"decision {name} stands {times} times in the log"
    known = {(number, message.offset) for number, messages in history.control.items() for message in messages}
    for place in places.keys() - known:
        yield f"a decision on control {place}, where there is no record"
    for place in known - places.keys():
        if not isinstance(history.records.get(place), _MAY_BE_SILENT):
            yield f"nothing was decided on control {place}: {type(history.records.get(place)).__name__}"


def each_command_acts_once(history: History) -> Iterator[str]:
    """I1: a record that comes twice has one effect; the other is refused."""
    acted: dict[tuple[str, str], set[Place]] = defaultdict(set)
    for decision in history.decisions:
        place = decision.partition, decision.offset
        record = history.records.get(place)
        if decision.kind != "Refused" and record is not None and not isinstance(record, _SELF_GUARDED):
            acted[decision.model, decision.cause].add(place)
    for (model, cause), places in acted.items():
        if len(places) > 1:
            yield f"{model}: {cause} acted {len(places)} times, at {sorted(places)}"


def what_cannot_be_read_is_kept(history: History) -> Iterator[str]:
    """I1: exactly one dead letter for what is no record, and for nothing twice."""
    letters = Counter((letter.partition, letter.offset) for letter in history.letters)
    for place, times in letters.items():
        if times > 1:
            yield f"{times} dead letters for control {place}"
    for number, messages in history.control.items():
        for message in messages:
            place = (number, message.offset)
            if place not in history.records and place not in letters:
                yield f"no dead letter for control {place}"


def one_run_at_a_time(history: History) -> Iterator[str]:
    """I2: a run starts only when none is open, and is retried only so often."""
    for model, decisions in history.model_decisions().items():
        open_run, recalling, attempts = "", False, history.plan.policies[model].admission.attempts
        for decision in decisions:
            if decision.kind in _STARTS:
                goes_on = recalling and decision.kind == "TrainingStarted" and decision.run == open_run
                if open_run and not goes_on:
                    yield f"{model}: run {decision.run} starts while {open_run} is open"
                open_run, recalling = decision.run, decision.kind == "RecallStarted"
            elif decision.kind == "TrainingRetried":
                if decision.run != open_run:
                    yield f"{model}: run {decision.run} is retried, {open_run or 'none'} is open"
                if decision.order is not None and decision.order.attempt > attempts:
                    yield f"{model}: attempt {decision.order.attempt} of run {decision.run}"
            elif decision.kind in ENDS:
                if decision.run != open_run:
                    yield f"{model}: run {decision.run} ends, {open_run or 'none'} is open"
                open_run, recalling = "", False


def a_held_model_starts_nothing(history: History) -> Iterator[str]:
    """While a person holds a model nothing is trained, tried, let further in or promoted."""
    for model, decisions in history.model_decisions().items():
        held = False
        for decision in decisions:
            if decision.kind == "Paused":
                held = True
            elif decision.kind == "Resumed":
                held = False
            elif held and decision.kind in _HELD and not _goes_on(decision, history):
                yield f"{model}: {decision.kind} at offset {decision.offset} while it is held"


def autonomy_is_kept(history: History) -> Iterator[str]:
    """Only a policy that says so lets a training be bought, or shadow be left, without a person's word."""
    for model, decisions in history.model_decisions().items():
        autonomy = history.plan.policies[model].autonomy
        asks: set[str] = set()
        words: set[str] = set()
        for decision in decisions:
            record = history.records.get((decision.partition, decision.offset))
            if decision.kind == "PolicyChanged":
                autonomy = getattr(record, "policy").autonomy  # noqa: B009 - a PolicySet, or the decision is wrong
            elif decision.kind in _STARTS:
                if isinstance(record, _BUYING) and autonomy not in ("approve", "auto"):
                    yield f"{model}: a training is bought under autonomy {autonomy}, offset {decision.offset}"
            elif decision.kind in ENDS:
                if autonomy != "auto":
                    asks.add(decision.run)
            elif decision.kind in ("Approved", "GateOverridden", "ShadowOverridden"):
                words.add(decision.run)
            elif decision.kind == "StepTaken" and decision.run in asks - words:
                yield f"{model}: {decision.release} answers without a person's word, offset {decision.offset}"


def every_run_and_rollout_ends(history: History) -> Iterator[str]:
    """R6: long after the last fault nothing is pending, unless a person holds it."""
    for name, model in history.states().items():
        if model.rollout.paused:
            continue
        if model.job.order is not None:
            yield f"{name}: run {model.job.run} never ended"
        if model.rollout.phase != "idle" or model.rollout.queued is not None:
            yield f"{name}: still {model.rollout.phase}, waiting: {model.rollout.queued}"


def the_log_is_the_fold_of_control(history: History) -> Iterator[str]:
    """I10: folded again from the beginning, or from any snapshot, `control` gives the same decisions, routes and snapshots."""
    for number in history.control:
        for name, there, again in (
            ("decisions", history.decision_bytes[number], history.refolded.decisions[number]),
            ("routes", history.route_bytes[number], history.refolded.routes[number]),
        ):
            if there != again:
                place = next(
                    (i for i, (a, b) in enumerate(zip(there, again, strict=False)) if a != b), min(len(there), len(again))
                )
                yield f"{name} of partition {number}: {len(there)} in the log, {len(again)} folded again; first differing is {place}"
    for snapshot in history.snapshots:
        if not snapshot_owner(snapshot):
            yield f"a snapshot of {snapshot.id} for partition {snapshot.partition}"
        elif (
            snapshot.offset > history.refolded.begins.get(snapshot.partition, 0)
            and history.refolded.on_the_way.get((snapshot.partition, snapshot.offset)) != snapshot.state
        ):
            yield f"the snapshot of partition {snapshot.partition} at {snapshot.offset} is not what its records come to"


def _goes_on(decision: Decided, history: History) -> bool:
    """Whether a run that was open before the hold only goes on: its recall found nothing."""
    record = history.records.get((decision.partition, decision.offset))
    return decision.kind == "TrainingStarted" and not isinstance(record, (*_BUYING, RetrainRequested, Approve))


RULES: Final[tuple[Rule, ...]] = (
    each_record_is_treated_once,
    each_command_acts_once,
    what_cannot_be_read_is_kept,
    one_run_at_a_time,
    a_held_model_starts_nothing,
    autonomy_is_kept,
    every_run_and_rollout_ends,
    the_log_is_the_fold_of_control,
    *record_rules.RULES,
    *measuring_rules.RULES,
    *challenger_rules.RULES,
    *rollout_rules.RULES,
    *way_out_rules.RULES,
    *router_rules.RULES,
)


def broken(history: History) -> list[str]:
    """Every violation, with the name of its rule."""
    return [f"{rule.__name__}: {what}" for rule in RULES for what in rule(history)]
