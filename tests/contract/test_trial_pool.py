"""What every pool of workers keeps: order, equal results, trials that survive their worker, and a deadline."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pytest

from streams.release import digest_of
from tests.core.trainer_rows import CONTRACT, table
from tests.ray_session import RaySession, ray_session
from trainer.adapters.local_pool import LocalPool, WorkerLost
from trainer.adapters.worker import Rows, pack, run_trial, unpack
from trainer.trial import PoolFailed, TrialPool, TrialRequest, TrialResult, TrialsLate

__all__ = ["ray_session"]

DATA = pack(CONTRACT, table(400))
LONG_ROUNDS = 2_000
"""A fit of half a second or more."""
KILL_AFTER_S = 0.1


class Harness(Protocol):
    """A pool, and a way to kill its worker so many times in the middle of a trial."""

    @property
    def pool(self) -> TrialPool:
        """The pool."""

    def losses(self) -> int:
        """How often the pool said that it lost a worker."""

    def killing(self, times: int) -> AbstractContextManager[object]:
        """While inside, the first so many trials lose their worker."""


class LocalHarness:
    """In this process, a worker's death is an exception."""

    def __init__(self) -> None:
        self._to_kill = 0
        self._lost = 0
        self.pool: TrialPool = LocalPool(self._work, self._note)

    def losses(self) -> int:
        """Counted by the callback."""
        return self._lost

    def killing(self, times: int) -> AbstractContextManager[object]:
        """The next so many."""
        self._to_kill = times
        return nullcontext()

    def _note(self) -> None:
        self._lost += 1

    def _work(self, rows: Rows, request: TrialRequest) -> TrialResult:
        if self._to_kill:
            self._to_kill -= 1
            raise WorkerLost
        return run_trial(rows, request)


@dataclass
class RayHarness:
    """A worker's death is a SIGKILL."""

    session: RaySession

    @property
    def pool(self) -> TrialPool:
        """The shared one."""
        return self.session.pool

    def losses(self) -> int:
        """Counted by the callback."""
        return len(self.session.losses)

    @contextmanager
    def killing(self, times: int) -> Iterator[None]:
        """Kill each worker shortly after it began to work, until so many died."""
        end = threading.Event()
        thread = threading.Thread(target=self._kill, args=(times, end))
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join(30)

    def _kill(self, times: int, end: threading.Event) -> None:
        killed: set[int] = set()
        while len(killed) < times and not end.wait(KILL_AFTER_S):
            (pid,) = self.session.pool.pids
            if pid not in killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)


@pytest.fixture(params=["local", "ray"])
def harness(request: pytest.FixtureRequest) -> Harness:
    """Each pool in turn, with the rows loaded."""
    made: Harness = LocalHarness() if request.param == "local" else RayHarness(request.getfixturevalue("ray_session"))
    made.pool.load(DATA)
    return made


def trial(number: int, *, rounds: float = 10, eta: float = 0.3, keep: bool = False) -> TrialRequest:
    """Fit on 300 rows, score on 100."""
    parameters = {"rounds": rounds, "eta": eta, "max_depth": 3.0}
    return TrialRequest(
        number=number, recipe="xgboost", parameters=parameters, seed=1, fit_rows=300, score_from=300, score_to=400, keep=keep
    )


def test_results_come_in_the_order_of_the_requests_and_are_what_the_recipe_gives(harness: Harness) -> None:
    """The same bytes as a fit in this process, so that it does not matter where a run ran."""
    requests = [trial(number, eta=0.1 * (1 + number % 5), keep=number == 3) for number in (3, 1, 2, 7)]
    results = harness.pool.run(requests, 60)
    expected = [run_trial(unpack(DATA), request) for request in requests]
    assert [result.number for result in results] == [3, 1, 2, 7]
    assert [result.loss for result in results] == [result.loss for result in expected]
    assert [digest_of(result.artefact) for result in results] == [digest_of(result.artefact) for result in expected]
    assert all(result.seconds > 0 for result in results)


def test_a_trial_that_cannot_work_says_why_and_its_neighbours_are_unharmed(harness: Harness) -> None:
    """A fault of the parameters is a result, not a failure of the machinery."""
    good, bad, other = harness.pool.run([trial(0), trial(1, eta=7.0), trial(2)], 60)
    assert "eta must be between" in bad.fault
    assert bad.loss is None
    assert good.loss == other.loss is not None
    assert good.fault == ""


def test_new_rows_replace_the_old(harness: Harness) -> None:
    """A pool holds the rows of one run at a time."""
    other = pack(CONTRACT, table(400, seed=8))
    before = harness.pool.run([trial(0, keep=True)], 60)[0]
    harness.pool.load(other)
    after = harness.pool.run([trial(0, keep=True)], 60)[0]
    assert before.artefact != after.artefact
    assert after.artefact == run_trial(unpack(other), trial(0, keep=True)).artefact


def test_a_trial_whose_worker_is_killed_is_run_again_with_the_same_result(harness: Harness) -> None:
    """The worker is replaced and has the rows again; the loss is told once."""
    long = trial(0, rounds=LONG_ROUNDS, keep=True)
    before = harness.losses()
    with harness.killing(1):
        (result,) = harness.pool.run([long], 120)
    assert harness.losses() - before == 1
    assert result.artefact == run_trial(unpack(DATA), long).artefact
    assert harness.pool.run([trial(1)], 60)[0].loss is not None


def test_a_trial_that_always_loses_its_worker_is_given_up(harness: Harness) -> None:
    """Three workers are enough; the pool works on for the next run."""
    with harness.killing(3), pytest.raises(PoolFailed, match="trial 0 lost its worker 3 times"):
        harness.pool.run([trial(0, rounds=10_000)], 120)
    harness.pool.load(DATA)
    assert harness.pool.run([trial(1)], 60)[0].loss is not None


def test_the_deadline_ends_a_run_and_the_pool_works_on(harness: Harness) -> None:
    """What was running is stopped: the next run does not wait for it."""
    requests = [trial(number, rounds=LONG_ROUNDS) for number in range(4)]
    started = time.monotonic()
    with pytest.raises(TrialsLate, match=r"of 4 trials were done after 0\.3 s"):
        harness.pool.run(requests, 0.3)
    assert time.monotonic() - started < 10
    harness.pool.load(DATA)
    assert harness.pool.run([trial(1)], 60)[0].loss is not None


def test_a_local_pool_without_rows_says_what_to_do() -> None:
    """Load first."""
    with pytest.raises(PoolFailed, match="call load first"):
        LocalPool().run([trial(0)], 1)


def test_the_loss_is_the_contracts_mean_over_the_scored_rows() -> None:
    """Recomputed by hand from the kept model."""
    rows = unpack(DATA)
    result = run_trial(rows, trial(0, keep=True))
    from streams.adapters.xgboost_predictor import load_booster

    values, _ = load_booster(CONTRACT, result.artefact).predict_matrix(rows.matrix[300:])
    assert result.loss == float(np.mean(values != rows.target[300:]))
