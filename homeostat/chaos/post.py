"""Records on their way to `control`: late, in another order, or twice; kept while the broker is away."""

from __future__ import annotations

import random
from dataclasses import dataclass

from homeostat.chaos.broker import Broker
from homeostat.chaos.plan import Plan
from streams.events import Control
from streams.ports import LogUnavailable, Outgoing


@dataclass(frozen=True, slots=True)
class Letter:
    """One record, and the step at which it arrives."""

    due: int
    outgoing: Outgoing


class Post:
    """What senders have handed over and the broker has not yet."""

    def __init__(self, broker: Broker, plan: Plan, rng: random.Random) -> None:
        self._broker = broker
        self._plan = plan
        self._rng = rng
        self.letters: list[Letter] = []

    def send(self, record: Control) -> None:
        """Hand over a record."""
        self.send_raw(self._broker.control(record))

    def send_raw(self, outgoing: Outgoing) -> None:
        """Hand over any bytes."""
        due = self._broker.step
        if self._rng.random() < self._plan.late:
            due += self._rng.randint(1, 8)
        self.letters.append(Letter(due, outgoing))
        if self._rng.random() < self._plan.repeated:
            self.letters.append(Letter(due + self._rng.randint(0, 15), outgoing))

    def deliver(self, *, all_of_it: bool = False) -> None:
        """Append what is due."""
        due = [letter for letter in self.letters if all_of_it or letter.due <= self._broker.step]
        if not due:
            return
        kept = [letter for letter in self.letters if not (all_of_it or letter.due <= self._broker.step)]
        if self._plan.late:
            self._rng.shuffle(due)
        for place, letter in enumerate(due):
            try:
                self._broker.log.append([letter.outgoing])
            except LogUnavailable:
                kept += due[place:]
                break
        self.letters = kept
