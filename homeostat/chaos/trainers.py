"""The trainer: follows `decisions` through the real list of open runs, and answers once, late, twice or, for long, not at all."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from homeostat.chaos.broker import Broker
from homeostat.chaos.post import Post
from homeostat.chaos.releases import Releases
from homeostat.chaos.traffic import Traffic
from streams import topics
from streams.events import RecallFinished, TrainingFailed, TrainingFinished, TrainingOrder, derived_id
from trainer.open_runs import OpenRuns, answered, decided

NEVER_ANSWERED: Final = 0.07
"""Share of orders whose result is lost."""
_FROZEN: Final = 0.75
"""Share of the challengers asked for that are proved better."""
_UNASKED: Final = 0.5
"""Share of the orders that want no challenger frozen, and get one."""


@dataclass(frozen=True, slots=True)
class _Work:
    model: str
    order: TrainingOrder
    done_at: int


class Trainer:
    """One process, which forgets everything when it dies."""

    def __init__(self, broker: Broker, post: Post, rng: random.Random, releases: Releases, traffic: Traffic) -> None:
        self._broker = broker
        self._post = post
        self._rng = rng
        self._releases = releases
        self._traffic = traffic
        self._positions = dict.fromkeys(broker.homes, 0)
        self._work: _Work | None = None
        self._owed: dict[str, TrainingOrder] = {}
        """By model the order that is open, as the decisions say it in so many words."""
        self._done: list[TrainingOrder] = []
        self.runs = OpenRuns()
        self.forgotten: set[str] = set()
        """Runs that were open, and that it did not know of or work on."""

    def turn(self, *, at_once: bool = False) -> None:
        """Read on, then work on the oldest order that is owed."""
        for number, position in self._positions.items():
            messages, self._positions[number] = self._broker.read(topics.DECISIONS, number, position)
            for message in messages:
                decision = self._broker.decision(message)
                self.runs = decided(self.runs, decision)
                if decision.order is not None:
                    self._owed[decision.model] = decision.order
                elif decision.kind in ("TrainingEnded", "Recalled", "ChallengerFrozen"):
                    self._owed.pop(decision.model, None)
        self.forgotten |= {order.run for model, order in self._owed.items() if model not in self.runs.orders}
        if self._work is None and (owed := self.runs.next()) is not None:
            lasts = 0 if at_once else self._rng.choice((0, 0, 1, 1, 2, 4, 25, 45))
            self._work = _Work(*owed, self._broker.step + lasts)
        if self._work is None:
            self.forgotten |= {order.run for order in self._owed.values() if order not in self._done}
        work = self._work
        if work is not None and (at_once or work.done_at <= self._broker.step):
            self._work = None
            self._done.append(work.order)
            if _luck(self._releases.seed, work.order, "answer") > NEVER_ANSWERED:
                self._post.send(self._result(work.model, work.order))
            self.runs = answered(self.runs, work.model, work.order)

    def restart(self) -> None:
        """Killed, and started again: all decisions are read anew."""
        self._broker.say("trainer", "restarts")
        self._positions = dict.fromkeys(self._broker.homes, 0)
        self._work = None
        self._owed, self._done = {}, []
        self.runs = OpenRuns()

    def _result(self, model: str, order: TrainingOrder) -> RecallFinished | TrainingFinished | TrainingFailed:
        seed = self._releases.seed  # a run that is repeated gives what it gave
        at, changed = self._broker.now, model in self._traffic.changed
        if _luck(seed, order, "fails") < 0.15:
            return TrainingFailed(
                id=derived_id(order.run, "failed", order.attempt), at=at, model=model, actor="trainer", reason="worker lost",
                run=order.run, attempt=order.attempt, retryable=_luck(seed, order, "retryable") < 0.7,
            )  # fmt: skip
        if order.looks_first:
            found = self._releases.best(order.recall, order.champion, changed=changed)
            frozen = _luck(seed, order, "frozen") < (_FROZEN if order.challenger else _UNASKED) and not found
            if frozen:
                found = self._releases.frozen(order.run, order.champion, changed=changed)
            return RecallFinished(
                id=derived_id(order.run, "recalled", order.attempt), at=at, model=model, actor="trainer",
                reason="tried what there is", run=order.run, attempt=order.attempt, release=found, challenger=frozen,
                learnt_until=at if frozen else None,
            )  # fmt: skip
        release = self._releases.trained(order.run, order.champion, changed=changed)
        return TrainingFinished(
            id=derived_id(order.run, "finished"), at=at, model=model, actor="trainer", reason="gate", run=order.run,
            release=release, passed=_luck(seed, order, "gate") < 0.9, card="card", dataset="data", rows=100, seconds=1.0,
        )  # fmt: skip


def _luck(seed: int, order: TrainingOrder, of: str) -> float:
    return random.Random(f"{seed}/{order.run}/{order.attempt}/{order.looks_first}/{of}").random()
