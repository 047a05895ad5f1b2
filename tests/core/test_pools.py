"""A pool that failed in use is not lent again: the attempt that follows has another."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from homeostat.pools import Pools
from tests.core.trainer_rows import CONTRACT, table
from trainer.adapters.local_pool import LocalPool
from trainer.adapters.worker import pack
from trainer.trial import PoolFailed, TrialData, TrialPool, TrialRequest, TrialResult

DATA = pack(CONTRACT, table(100))
TRIAL = TrialRequest(number=0, recipe="xgboost", parameters={"rounds": 2.0}, seed=1, fit_rows=80, score_from=80, score_to=100)


class Mortal(LocalPool):
    """A pool whose Ray can die while this process lives: from then on nothing of it works."""

    def __init__(self) -> None:
        super().__init__()
        self.dead = False
        self.closed = 0

    def load(self, data: TrialData) -> None:
        """Unless it is dead."""
        self._alive()
        super().load(data)

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Unless it is dead."""
        self._alive()
        return super().run(trials, deadline_s)

    def close(self) -> None:
        """Count."""
        self.closed += 1

    def _alive(self) -> None:
        if self.dead:
            raise PoolFailed("Ray failed: the cluster is gone")


class House:
    """Starts pools, and remembers them."""

    def __init__(self) -> None:
        self.started: list[Mortal] = []
        self.pools = Pools(self._start)

    def _start(self) -> TrialPool:
        self.started.append(Mortal())
        return self.started[-1]


def loss(pool: TrialPool) -> float | None:
    """Of one fit."""
    pool.load(DATA)
    (result,) = pool.run([TRIAL], 60)
    return result.loss


def test_a_pool_is_started_once_and_lent_again() -> None:
    """Warm is the point of it."""
    house = House()
    assert loss(house.pools.warm()) == loss(house.pools.warm()) is not None
    assert len(house.started) == 1


@pytest.mark.parametrize("loaded", [False, True])
def test_a_pool_that_died_is_closed_and_replaced(loaded: bool) -> None:
    """Whether that comes out when it takes the rows or in the middle of the trials; the next attempt works."""
    house = House()
    lent = house.pools.warm()
    if loaded:
        lent.load(DATA)
    house.started[0].dead = True
    with pytest.raises(PoolFailed, match="the cluster is gone"):
        lent.run([TRIAL], 60) if loaded else lent.load(DATA)
    assert loss(house.pools.warm()) is not None
    assert [pool.closed for pool in house.started] == [1, 0]


def test_closing_ends_the_pool_that_is_up_and_no_other() -> None:
    """Twice is once."""
    house = House()
    house.pools.close()
    assert house.started == []
    house.pools.warm()
    house.pools.close()
    house.pools.close()
    assert [pool.closed for pool in house.started] == [1]
