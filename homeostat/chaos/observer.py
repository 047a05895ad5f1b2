"""What a person sees of a model: the decisions that are committed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from homeostat.chaos.broker import Broker
from streams import topics
from streams.events import Decided

EXISTS: Final = frozenset({"Registered", "Restored", "TrainingEnded", "ChallengerFrozen"})
"""Kinds of decision whose release is in the store."""


@dataclass(slots=True)
class Seen:
    """Of one model."""

    champion: str = ""
    releases: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    """By runs that ended."""
    wanted: list[str] = field(default_factory=list)
    """Decisions that ask for a person's word."""
    runs: list[str] = field(default_factory=list)


class Observer:
    """Reads `decisions` on, whenever somebody is about to say something."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._positions = dict.fromkeys(broker.homes, 0)
        self._seen: dict[str, Seen] = defaultdict(Seen)

    def of(self, model: str) -> Seen:
        """What is known of a model by now."""
        for number, position in self._positions.items():
            messages, self._positions[number] = self._broker.read(topics.DECISIONS, number, position)
            for message in messages:
                decision = self._broker.decision(message)
                self._note(self._seen[decision.model], decision)
        return self._seen[model]

    @staticmethod
    def _note(seen: Seen, decision: Decided) -> None:
        seen.champion = decision.champion or seen.champion
        if decision.kind == "ApprovalWanted":
            seen.wanted.append(decision.id)
        if decision.order is not None and decision.order.run not in seen.runs:
            seen.runs.append(decision.order.run)
        if decision.kind in EXISTS and decision.release and decision.release not in seen.releases:
            seen.releases.append(decision.release)
        if decision.kind in ("TrainingEnded", "ChallengerFrozen") and decision.release:
            seen.made.append(decision.release)
