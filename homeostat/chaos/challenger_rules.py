"""Rules of frozen challengers: asked for, made by a run in flight, tried like any other, and not wanted again at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from homeostat.chaos.history import History
from streams.events import Decided, RecallFinished, TrainingOrder

_STARTS: Final = frozenset({"RecallStarted", "TrainingStarted", "TrainingRetried"})
_OUT: Final = frozenset({"CandidateRejected", "RolledBack"})
_IN: Final = frozenset({"ShadowStarted", "CandidateQueued"})


def a_frozen_challenger_was_asked_for(history: History) -> Iterator[str]:
    """It is the answer to the attempt in flight, and its order wanted one."""
    for model, decisions in history.model_decisions().items():
        order: TrainingOrder | None = None
        for decision in decisions:
            if decision.kind in _STARTS:
                order = decision.order
            elif decision.kind == "ChallengerFrozen":
                record = history.records.get((decision.partition, decision.offset))
                if order is None or decision.run != order.run or not order.challenger:
                    yield f"{model}: {decision.release} is frozen at offset {decision.offset}; nobody asked run {decision.run} for it"
                elif not isinstance(record, RecallFinished) or not record.challenger or record.attempt != order.attempt:
                    yield f"{model}: {decision.release} is frozen at offset {decision.offset}, by {record}"
                order = None
            elif decision.kind in ("TrainingEnded", "Recalled"):
                order = None


def a_training_that_does_not_pay_never_starts(history: History) -> Iterator[str]:
    """A run that was bought for the challenger alone ends with it."""
    for model, decisions in history.model_decisions().items():
        without: set[str] = set()
        for decision in decisions:
            if decision.order is not None and decision.kind == "RecallStarted" and not decision.order.training:
                without.add(decision.run)
            elif decision.kind in ("TrainingStarted", "TrainingRetried") and decision.run in without:
                yield f"{model}: {decision.kind} of run {decision.run} at offset {decision.offset}, which does not pay"


def a_frozen_challenger_is_tried_like_any_other(history: History) -> Iterator[str]:
    """It goes into shadow, waits, or is rejected as spoilt; and it answers nobody before it was in shadow or a person said so."""
    for model, decisions in history.model_decisions().items():
        places, frozen, may = history.by_place(model), set[str](), set[str]()
        for decision in decisions:
            if decision.kind == "ChallengerFrozen":
                frozen.add(decision.run)
                following = {one.kind for one in places[decision.offset] if one.run == decision.run}
                if not following & {*_IN, "CandidateRejected"}:
                    yield f"{model}: {decision.release} is frozen at offset {decision.offset}, and nothing follows"
            elif decision.kind in ("ShadowStarted", "GateOverridden"):
                may.add(decision.run)
            elif decision.kind in ("StepTaken", "Promoted") and decision.run in frozen - may:
                yield f"{model}: {decision.release} answers at offset {decision.offset}, and never was in shadow"


def in_vain_is_not_tried_again(history: History) -> Iterator[str]:
    """After a frozen challenger came to nothing, a training has its turn before another."""
    for model, decisions in history.model_decisions().items():
        turn = _Turn()
        for decision in decisions:
            asks = decision.kind == "RecallStarted" and decision.order is not None and decision.order.challenger
            restored = asks and decision.run in turn.orders
            if turn.in_vain and not restored and (decision.kind == "ChallengerWanted" or asks):
                yield f"{model}: {decision.kind} at offset {decision.offset}; the last one came to nothing"
            turn.note(decision)


@dataclass(slots=True)
class _Turn:
    """Whose turn it is, as the decisions tell it."""

    in_vain: bool = False
    orders: dict[str, TrainingOrder] = field(default_factory=dict)
    """By run, the newest."""
    frozen: set[str] = field(default_factory=set)
    """Releases."""
    by_hand: set[str] = field(default_factory=set)
    """Runs of candidates that a person brought in: nothing was bought for them."""

    def note(self, decision: Decided) -> None:
        """One more decision."""
        if decision.order is not None:
            self.orders[decision.run] = decision.order
        if decision.kind == "ChallengerFrozen":
            self.frozen.add(decision.release)
        elif decision.kind in ("GateOverridden", "CandidateOffered"):
            self.by_hand.add(decision.run)
        elif decision.kind == "Promoted":
            self.in_vain = False
        elif decision.kind in _OUT and decision.run not in self.by_hand:
            self.in_vain = decision.release in self.frozen
        elif decision.kind == "TrainingEnded" and "a person holds" not in decision.why:
            # Of one whose candidate is tried the next lines tell; an order with a challenger gave none.
            if self.orders[decision.run].challenger:
                self.in_vain = True
            elif "the gate let" not in decision.why:
                self.in_vain = False


def the_account_knows_what_serves(history: History) -> Iterator[str]:
    """Whether the champion is a frozen challenger decides what it is compared with, where that is a challenger."""
    for name, model in history.states().items():
        frozen = {one.release for one in history.model_decisions()[name] if one.kind == "ChallengerFrozen"}
        if model.staleness.excess.frozen != (not model.losses.own and model.rollout.champion in frozen):
            yield f"{name}: {model.rollout.champion} serves, and its account says frozen={model.staleness.excess.frozen}"
        if len(model.frozen) > len(model.rollout.known_releases()) + 1:
            yield f"{name}: {len(model.frozen)} frozen challengers are remembered"


def starts_are_counted(history: History) -> Iterator[str]:
    """The budget remembers the runs that trained, or tried to, and none that only tried what there was."""
    for model, decisions in history.model_decisions().items():
        started: dict[str, bool] = {}
        looking: set[str] = set()
        for decision in decisions:
            if decision.kind in ("RecallStarted", "TrainingStarted"):
                started[decision.run] = True
                looking = {decision.run} if decision.kind == "RecallStarted" else set()
            elif decision.kind in ("Recalled", "ChallengerFrozen", "TrainingEnded"):
                started[decision.run] = decision.run not in looking
        wanted = sum(started.values())
        kept = len(history.states()[model].admission.started)
        if kept != min(wanted, 2 * history.plan.policies[model].admission.trainings_per_30_days):
            yield f"{model}: {kept} starts are remembered, {wanted} trained"


RULES: Final = (
    a_frozen_challenger_was_asked_for,
    a_training_that_does_not_pay_never_starts,
    a_frozen_challenger_is_tried_like_any_other,
    in_vain_is_not_tried_again,
    the_account_knows_what_serves,
    starts_are_counted,
)
