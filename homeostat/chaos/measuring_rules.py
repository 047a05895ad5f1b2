"""Rules of what is measured: every closed period once and in order, from the sums that were told, one measure at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from drift import joined_losses
from homeostat.chaos import rubbish
from homeostat.chaos.history import History
from streams.events import UNIT, ChallengerScored, Control, Decided, LossesGathered, PolicySet

STATE_BYTES: Final = 256 * 1024
"""Of one model's state in a snapshot: far more than any schedule comes to, far less than a snapshot may have."""
_BOUGHT: Final = frozenset({"TrainingBought", "ChallengerWanted"})
_TO_OWN: Final = "own loss is measured from here on"
_TO_CHALLENGER: Final = "measured against it from here on"
_Cell = tuple[int, str]
"""Period and release."""


def a_period_is_measured_once(history: History) -> Iterator[str]:
    """Losses that are told again do not count again, of whichever release."""
    for model, decisions in history.model_decisions().items():
        last = -1.0
        for decision in decisions:
            if decision.kind == "StalenessMeasured":
                if decision.numbers["period"] <= last:
                    yield f"{model}: period {decision.numbers['period']:.0f} is measured after {last:.0f}"
                last = decision.numbers["period"]


def a_stretch_is_scored_once(history: History) -> Iterator[str]:
    """What the challenger told of a stretch of labels counts once."""
    for model in history.plan.policies:
        counted: set[tuple[int, int]] = set()
        for offset, record in _usable(history, model):
            if isinstance(record, ChallengerScored):
                stretch = record.partition, record.first_offset
                if stretch in counted:
                    yield f"{model}: labels-{record.partition} from {record.first_offset} on count again, offset {offset}"
                counted.add(stretch)


def impossible_scores_are_refused(history: History) -> Iterator[str]:
    """Taking one needs no word, so silence is no proof here."""
    refused = _refused(history)
    for place, record in history.records.items():
        if isinstance(record, ChallengerScored) and record.actor == rubbish.ACTOR and place not in refused:
            yield f"{record.model}: rubbish at {place} was taken"


def what_is_measured_was_told(history: History) -> Iterator[str]:
    """Each measured difference is the one of the sums told by then, by the measure in force; a new measure is a new account."""
    for model, decisions in history.model_decisions().items():
        told, records = _Told(patience=history.plan.policies[model].challenger.silent_periods), _usable(history, model)
        waiting = next(records, None)
        own, changing = not history.plan.policies[model].challenger.enabled, False
        for decision in decisions:
            while waiting is not None and waiting[0] <= decision.offset:
                told.take(waiting[1])
                waiting = next(records, None)
            if decision.kind not in ("StalenessMeasured", "PeriodSkipped"):
                continue
            changing = changing or _TO_OWN in decision.why or _TO_CHALLENGER in decision.why
            own = (own or _TO_OWN in decision.why) and _TO_CHALLENGER not in decision.why
            if decision.kind == "StalenessMeasured":
                yield from (f"{model}, offset {decision.offset}: {what}" for what in told.faults(decision, own=own))
                # The new account has served no period before this one.
                if changing and decision.numbers.get("age_periods", 1.0) != 1.0:
                    yield f"{model}, offset {decision.offset}: the measure changed in an account that went on"
                changing = False


@dataclass(slots=True)
class _Told:
    """The usable records, added up. `patience`: newer periods that are closed before one is given up."""

    patience: int
    closed: dict[_Cell, LossesGathered] = field(default_factory=dict)
    labelled: Counter[_Cell] = field(default_factory=Counter)
    rows: Counter[_Cell] = field(default_factory=Counter)
    units: Counter[_Cell] = field(default_factory=Counter)

    def take(self, record: Control) -> None:
        """One more."""
        if isinstance(record, LossesGathered):
            self.closed.setdefault((record.period, record.release), record)
        elif isinstance(record, ChallengerScored):
            for score in record.scores:
                cell = score.period, score.release
                self.labelled[cell] += score.labelled
                self.rows[cell] += score.n
                self.units[cell] += score.champion - score.challenger

    def faults(self, decision: Decided, *, own: bool) -> Iterator[str]:
        """What a measured period has that it should not."""
        cell = int(decision.numbers["period"]), decision.release
        record = self.closed.get(cell)
        if record is None:
            yield f"period {cell[0]} of {cell[1]} is measured, and nobody told its losses"
            return
        drawn, units = (record.n, record.loss) if own else (self.rows[cell], self.units[cell])
        wanted = units / UNIT / drawn if drawn else 0.0
        rows = drawn if own or not drawn else self.labelled[cell]
        measured = decision.numbers["compared_rows"], decision.numbers["difference"]
        if measured[0] != rows or abs(measured[1] - wanted) > 1e-9:
            yield f"period {cell[0]}: {measured[1]:.3f} is measured on {measured[0]:.0f} rows; it was {wanted:.3f} on {rows}"
        newer = {period for period, _ in self.closed if period > cell[0]}
        spoken_of = newer & {period for (period, _), rows in self.rows.items() if rows}
        may = len(spoken_of) >= joined_losses.PASSED_ON or len(newer) >= self.patience
        if not own and self.labelled[cell] < record.n and not may:
            yield f"period {cell[0]} is measured on {self.labelled[cell]} of {record.n} rows, with {len(newer)} newer ones"


def silence_is_noticed(history: History) -> Iterator[str]:
    """So many periods without a word of the challenger, and the champion's own loss is measured."""
    for model, decisions in history.model_decisions().items():
        bound, silent = history.plan.policies[model].challenger.silent_periods, 0
        for decision in decisions:
            if decision.kind == "PeriodSkipped":
                silent = 0  # of a release that serves no more: whether it was spoken of is not said
            if decision.kind != "StalenessMeasured" or not decision.numbers["rows"]:
                continue
            silent = 0 if decision.numbers["compared_rows"] else silent + 1
            if silent >= bound:
                yield f"{model}: {silent} periods without a word of the challenger at offset {decision.offset}, of {bound}"


def nothing_is_bought_on_a_missing_number(history: History) -> Iterator[str]:
    """What is bought by the rule is bought right behind a period in which rows were compared."""
    for model, decisions in history.model_decisions().items():
        before: Decided | None = None
        for decision in decisions:
            record = history.records.get((decision.partition, decision.offset))
            measured = before is not None and before.offset == decision.offset and bool(before.numbers.get("compared_rows"))
            by_rule = decision.kind in _BOUGHT and isinstance(record, LossesGathered | ChallengerScored)
            if by_rule and not measured:
                yield f"{model}: {decision.kind} at offset {decision.offset}, on no measured period"
            before = decision


def no_closed_period_waits_in_vain(history: History) -> Iterator[str]:
    """At the end no more wait than may, and none whose rows are all scored; what is remembered is bounded."""
    for name, model in history.states().items():
        losses = model.losses
        if len(losses.waiting) > model.policy.challenger.silent_periods:
            yield f"{name}: {len(losses.waiting)} closed periods wait"
        for closed in losses.waiting:
            scored = losses.scores.get(closed.period, {}).get(closed.release, joined_losses.Scores())
            if closed is losses.waiting[0] and scored.labelled >= closed.n:
                yield f"{name}: period {closed.period} waits, and all its {closed.n} rows are scored"
        most = max((len(by_release) for by_release in losses.scores.values()), default=0)
        if len(losses.scores) > joined_losses.MOST_PERIODS or most > joined_losses.MOST_RELEASES:
            yield f"{name}: scores of {len(losses.scores)} periods, of {most} releases in one"
        if (
            len(losses.heard) > joined_losses.HEARD_PERIODS
            or max(map(len, losses.files.values()), default=0) > joined_losses.FILES_KEPT
        ):
            yield f"{name}: {len(losses.heard)} periods heard, {len(losses.files)} partitions with files"
        if (size := len(msgspec.msgpack.encode(model))) > STATE_BYTES:
            yield f"{name}: a state of {size} bytes"


def an_unoffered_challenger_is_not_wanted(history: History) -> Iterator[str]:
    """A policy that has no challenger, or does not let it be a candidate, never wants one frozen."""
    for model, decisions in history.model_decisions().items():
        policy = history.plan.policies[model].challenger
        for decision in decisions:
            record = history.records.get((decision.partition, decision.offset))
            if decision.kind == "PolicyChanged" and isinstance(record, PolicySet):
                policy = record.policy.challenger
            frozen = decision.kind == "RecallStarted" and decision.order is not None and decision.order.challenger
            again = frozen and type(record).__name__ == "Restored"
            if (decision.kind == "ChallengerWanted" or frozen) and not again and not (policy.enabled and policy.candidate):
                yield f"{model}: {decision.kind} at offset {decision.offset}, under a policy without"


def _usable(history: History, model: str) -> Iterator[tuple[int, Control]]:
    """What was told of periods and not refused, in the order of the log."""
    refused, home = _refused(history), history.homes[model]
    for (partition, offset), record in sorted(history.records.items(), key=lambda one: one[0]):
        told = isinstance(record, LossesGathered | ChallengerScored) and record.model == model
        # Losses of a release that does not serve are passed over without a word, rubbish too.
        sound = told and record.actor != rubbish.ACTOR if isinstance(record, LossesGathered) else told
        if sound and partition == home and (partition, offset) not in refused:
            yield offset, record


def _refused(history: History) -> set[tuple[int, int]]:
    return {(decision.partition, decision.offset) for decision in history.decisions if decision.kind == "Refused"}


RULES: Final = (
    a_period_is_measured_once,
    a_stretch_is_scored_once,
    impossible_scores_are_refused,
    what_is_measured_was_told,
    silence_is_noticed,
    nothing_is_bought_on_a_missing_number,
    no_closed_period_waits_in_vain,
    an_unoffered_challenger_is_not_wanted,
)
