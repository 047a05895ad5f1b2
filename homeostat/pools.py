"""The pool of the trainer: started ahead of the first order, and anew after it failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from trainer.trial import PoolFailed, TrialData, TrialPool, TrialRequest, TrialResult

log = logging.getLogger("homeostat.trainer")


class Pools:
    """At most one pool at a time. One that failed in use is closed then: the attempt that comes after has a new one."""

    def __init__(self, start: Callable[[], TrialPool]) -> None:
        self._start = start
        self._pool: TrialPool | None = None

    def warm(self) -> TrialPool:
        """A pool that is up, as far as is known. Raises PoolFailed."""
        if self._pool is None:
            began = time.monotonic()
            self._pool = self._start()
            log.info("%s ready after %.1f s", self._pool.executor, time.monotonic() - began)
        return _Lent(self._pool, self._failed)

    def close(self) -> None:
        """Stop Ray."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _failed(self, error: PoolFailed) -> None:
        """A pool whose Ray died while this process lives says so in use, and never comes up again by itself."""
        log.warning("the pool is given up, the next attempt starts another: %s", error)
        self.close()


class _Lent:
    """The pool as a run has it: its failure is known to the lender."""

    def __init__(self, pool: TrialPool, failed: Callable[[PoolFailed], None]) -> None:
        self._pool = pool
        self._failed = failed

    @property
    def size(self) -> int:
        """Of the pool."""
        return self._pool.size

    @property
    def executor(self) -> str:
        """Of the pool."""
        return self._pool.executor

    def load(self, data: TrialData) -> None:
        """Give the rows on. Raises PoolFailed."""
        try:
            self._pool.load(data)
        except PoolFailed as error:
            self._failed(error)
            raise

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Run there. Raises PoolFailed, TrialsLate."""
        try:
            return self._pool.run(trials, deadline_s)
        except PoolFailed as error:
            self._failed(error)
            raise

    def close(self) -> None:
        """The lender closes it."""
