"""The challengers' desk: what they lost beside the champions, told by finished lake file; silent at times, and told again at a restart."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from homeostat.chaos.broker import Broker
from homeostat.chaos.post import Post
from homeostat.chaos.windows import Windows
from streams.events import UNIT, ChallengerScore, ChallengerScored, WindowCounted, derived_id

ERRORS: Final = 0.15
"""A challenger's chance of an error in either state of the world: it always learns."""
_FINISHED: Final = 0.6
"""Chance that an open lake file finishes in a step."""


@dataclass(slots=True)
class _File:
    first: int
    end: int
    scores: dict[str, list[ChallengerScore]] = field(default_factory=lambda: defaultdict(list))
    """By model."""


class Scorers:
    """One process for all models. `silent`: those whose challenger says nothing now."""

    def __init__(self, broker: Broker, post: Post, rng: random.Random, windows: Windows) -> None:
        self._broker = broker
        self._post = post
        self._rng = rng
        self._windows = windows
        self._files: dict[int, _File] = {}
        self._kept: dict[str, ChallengerScored] = {}
        """By model, what it told last: its state file says so until the next one."""
        self.silent: set[str] = set()

    def compared(self, model: str, champion: str, chance: float, lucks: Sequence[float]) -> ChallengerScore:
        """The rows of a lot once they are labelled: a share of them is drawn. The luck of a row is shared, as by releases."""
        drawn = lucks[: round(self._windows.policies[model].challenger.share * len(lucks))]
        lost, own = sum(luck < chance for luck in drawn), sum(luck < ERRORS for luck in drawn)
        return ChallengerScore(
            release=champion,
            period=int(self._broker.now.timestamp()) // int(self._windows.policies[model].staleness.period.total_seconds()),
            labelled=len(lucks),
            n=len(drawn),
            champion=lost * UNIT,
            challenger=own * UNIT,
            difference_squared=abs(lost - own) * UNIT,
        )

    def labelled(self, window: WindowCounted, score: ChallengerScore | None) -> None:
        """Labels come into the open lake file; `score` is None where the rows are left out."""
        file = self._files.setdefault(window.partition, _File(window.first_offset, window.end_offset))
        file.end = window.end_offset
        if score is not None:
            file.scores[window.model].append(score)

    def turn(self, *, all_of_it: bool = False) -> None:
        """Files finish, and are scored for every model that has rows in them."""
        for partition, file in list(self._files.items()):
            if not all_of_it and self._rng.random() >= _FINISHED:
                continue
            del self._files[partition]
            for model, scores in file.scores.items():
                if model in self.silent or not self._windows.policies[model].challenger.enabled:
                    continue
                record = self._record(model, partition, file, scores)
                self._kept[model] = record
                self._post.send(record)

    def restart(self) -> None:
        """Killed between its state file and the log, and started again: what it told last is told once more."""
        self._broker.say("challenger", "restarts")
        for record in self._kept.values():
            self._post.send(record)

    def _record(self, model: str, partition: int, file: _File, scores: Sequence[ChallengerScore]) -> ChallengerScored:
        sums: dict[tuple[int, str], ChallengerScore] = {}
        for score in scores:
            place = score.period, score.release
            sums[place] = _plus(sums[place], score) if place in sums else score
        return ChallengerScored(
            id=derived_id(model, "challenger", partition, file.first, file.end), at=self._broker.now, model=model, actor="agents",
            reason="scored", partition=partition, first_offset=file.first, end_offset=file.end,
            scores=tuple(sums[place] for place in sorted(sums)),
            period_seconds=int(self._windows.policies[model].staleness.period.total_seconds()),
        )  # fmt: skip


def _plus(one: ChallengerScore, other: ChallengerScore) -> ChallengerScore:
    return msgspec.structs.replace(
        one,
        labelled=one.labelled + other.labelled,
        n=one.n + other.n,
        champion=one.champion + other.champion,
        challenger=one.challenger + other.challenger,
        difference_squared=one.difference_squared + other.difference_squared,
    )
