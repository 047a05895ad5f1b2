"""Which orders the trainer still owes a result, folded from `decisions`: at most one for each model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from streams.events import Decided, TrainingOrder

OPENING: Final = frozenset({"RecallStarted", "TrainingStarted", "TrainingRetried"})
CLOSING: Final = frozenset({"Recalled", "ChallengerFrozen", "TrainingEnded", "CandidateRejected", "ShadowStarted"})

Asked: TypeAlias = tuple[str, int, bool]
"""Run, attempt, and whether what exists was to be tried: the training that follows a recall is another order of the same run."""


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """Orders by model, oldest first. `answered` holds what was answered since this process began, one entry a model."""

    orders: Mapping[str, TrainingOrder] = field(default_factory=dict)
    answered: Mapping[str, Asked] = field(default_factory=dict)

    def next(self) -> tuple[str, TrainingOrder] | None:
        """The oldest order that is not answered yet, with its model."""
        for model, order in self.orders.items():
            if self.answered.get(model) != _asked(order):
                return model, order
        return None


def decided(runs: OpenRuns, record: Decided) -> OpenRuns:
    """After one decision. A newer order of a model takes the place of the older: the controller has given that one up."""
    orders = dict(runs.orders)
    if record.kind in OPENING and record.order is not None:
        orders.pop(record.model, None)
        orders[record.model] = record.order
    elif record.kind in CLOSING and record.model in orders and orders[record.model].run == record.run:
        del orders[record.model]
    else:
        return runs
    return OpenRuns(orders=orders, answered={model: key for model, key in runs.answered.items() if model in orders})


def answered(runs: OpenRuns, model: str, order: TrainingOrder) -> OpenRuns:
    """After the broker has the result: the order stays open until the controller has decided on it."""
    return OpenRuns(orders=runs.orders, answered={**runs.answered, model: _asked(order)})


def _asked(order: TrainingOrder) -> Asked:
    return order.run, order.attempt, order.looks_first
