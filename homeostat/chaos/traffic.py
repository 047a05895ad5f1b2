"""Rows that the routers answer, and their labels later: what the windows count, and the truth to hold evidence against."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Final

from homeostat.chaos.broker import Broker
from homeostat.chaos.plan import Plan
from homeostat.chaos.releases import Releases
from homeostat.chaos.routers import Replica
from homeostat.chaos.scorers import Scorers
from homeostat.chaos.windows import Windows
from serving.router import CHAMPION, answering_arm, rolling, scored_arms, unit_of
from streams.events import UNIT, ChallengerScore, LossCounts, MadeCounts, PairCounts, Route, ServedCounts
from streams.topics import LABELS, PREDICTIONS

SALT: Final = b"chaos"
LABEL_PARTITIONS: Final = 2


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows of one lot that one arm answered, under which route."""

    router: str
    life: int
    route: Route
    arm: str
    release: str
    rows: int


@dataclass(frozen=True, slots=True)
class _Unlabelled:
    due: int
    model: str
    rows: int
    losses: tuple[LossCounts, ...]
    pairs: tuple[PairCounts, ...]
    score: ChallengerScore | None
    quarantined: bool


class Traffic:
    """The clients of every model. `changed`: the models whose world is in its other state."""

    def __init__(
        self,
        broker: Broker,
        plan: Plan,
        rng: random.Random,
        releases: Releases,
        windows: Windows,
        scorers: Scorers,
        spoilt: set[str],
    ) -> None:
        self._broker = broker
        self._plan = plan
        self._rng = rng
        self._releases = releases
        self._windows = windows
        self._scorers = scorers
        self._spoilt = spoilt
        self._unlabelled: list[_Unlabelled] = []
        self._rows = 0
        self.changed: set[str] = set()
        self.answered: list[Answered] = []
        self.pairs: Counter[tuple[str, int, int, str]] = Counter()
        """Labelled pairs that the windows hold, by (model, generation, step, arm)."""
        self.exposed: Counter[tuple[str, int, int, str]] = Counter()
        """Rows answered, by the same."""

    def ask(self, replica: Replica, number: int, model: str, rows: int) -> None:
        """A lot of rows for one replica; it answers by the route that it has."""
        route = replica.live.get(model)
        if route is None:
            return
        arms = [(arm, release, self._releases.truths[release]) for arm, release in scored_arms(route)]
        quarantined = model in self._spoilt and bool(route.quarantine)
        answers = self._answers(route, rows, {arm for arm, _, truth in arms if truth.fails})
        lucks = [self._rng.random() for _ in range(rows)]
        chances = {arm: truth.errors[model in self.changed] for arm, _, truth in arms}
        by_champion = chances[CHAMPION]
        wrong = {arm: sum(luck < chance for luck in lucks) for arm, chance in chances.items()}
        worse = {arm: sum(by_champion <= luck < chance for luck in lucks) for arm, chance in chances.items()}
        better = {arm: sum(chance <= luck < by_champion for luck in lucks) for arm, chance in chances.items()}
        self._served(route, replica, number, rows, answers, quarantined=quarantined)
        minute = int(self._broker.now.timestamp()) // 60
        scored = [(arm, release) for arm, release, truth in arms if not truth.fails]
        sound = scored[0][0] == CHAMPION if scored else False
        self._unlabelled.append(
            _Unlabelled(
                due=self._broker.step + self._rng.randint(0, 3),
                model=model,
                rows=rows,
                losses=tuple(
                    LossCounts(minute=minute, release=release, n=rows, loss=wrong[arm] * UNIT, loss_squared=wrong[arm] * UNIT)
                    for arm, release in scored
                ),
                pairs=tuple(
                    PairCounts(
                        generation=route.generation, step=route.step, arm=arm, release=release, champion=route.champion, n=rows,
                        worse=worse[arm], better=better[arm], difference=(worse[arm] - better[arm]) * UNIT,
                        difference_squared=(worse[arm] + better[arm]) * UNIT,
                    )
                    for arm, release in scored[1:]
                ),
                score=self._scorers.compared(model, route.champion, by_champion, lucks) if sound else None,
                quarantined=quarantined,
            )
        )  # fmt: skip

    def label(self, *, all_of_them: bool = False) -> None:
        """The labels that are due become windows; some never come."""
        kept: list[_Unlabelled] = []
        for lot in self._unlabelled:
            if lot.due > self._broker.step and not all_of_them:
                kept.append(lot)
            elif self._rng.random() >= self._plan.label_lost:
                self._count(lot)
        self._unlabelled = kept

    def _answers(self, route: Route, rows: int, failing: set[str]) -> Counter[str]:
        """By arm; for an arm that fails the champion answers."""
        first, self._rows = self._rows, self._rows + rows
        if not rolling(route):
            return Counter({CHAMPION: rows})
        arms = (answering_arm(route, SALT, unit_of("", 1, row)) for row in range(first, self._rows))
        return Counter(CHAMPION if arm in failing else arm for arm in arms)

    def _count(self, lot: _Unlabelled) -> None:
        place = self._rng.randrange(LABEL_PARTITIONS)
        if lot.quarantined:
            window = self._windows.publish(lot.model, LABELS, place, lot.rows, quarantined_rows=lot.rows)
            self._scorers.labelled(window, None)
            return
        for pair in lot.pairs:
            self.pairs[lot.model, pair.generation, pair.step, pair.arm] += pair.n
        window = self._windows.publish(lot.model, LABELS, place, lot.rows, losses=lot.losses, pairs=lot.pairs)
        self._scorers.labelled(window, lot.score)

    def _served(
        self, route: Route, replica: Replica, number: int, rows: int, answers: Counter[str], *, quarantined: bool
    ) -> None:
        served, life = [], len(replica.lives) - 1
        for arm, release in scored_arms(route):
            truth, by_it = self._releases.truths[release], answers[arm]
            if by_it:
                self.answered.append(Answered(replica.name, life, route, arm, release, by_it))
                self.exposed[route.model, route.generation, route.step, arm] += by_it
            served.append(
                ServedCounts(
                    release=release, arm=arm, generation=route.generation, step=route.step, answered=by_it,
                    scored=0 if truth.fails else rows, failures=rows if truth.fails else 0, late=0,
                    latency={truth.latency_bin: by_it} if by_it else {}, outputs={},
                )
            )  # fmt: skip
        minute = int(self._broker.now.timestamp()) // 60
        made = tuple(MadeCounts(minute=minute, release=one.release, n=rows) for one in served if one.scored and not quarantined)
        self._windows.publish(
            route.model, PREDICTIONS, number, rows, served=tuple(served), made=made, quarantined_rows=rows if quarantined else 0
        )
