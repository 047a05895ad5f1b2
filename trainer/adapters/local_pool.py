"""The pool without Ray: trials run one after the other in this process. For registration, tests and small machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from trainer.adapters.worker import Rows, run_trial, unpack
from trainer.trial import PoolFailed, TrialData, TrialRequest, TrialResult, TrialsLate

TRIES = 3


class WorkerLost(Exception):
    """The worker died in the middle of a trial."""


class LocalPool:
    """One worker: this process. `work` is what it does with a request; raising WorkerLost stands for its death."""

    def __init__(
        self, work: Callable[[Rows, TrialRequest], TrialResult] = run_trial, lost: Callable[[], None] = lambda: None
    ) -> None:
        self._work = work
        self._lost = lost
        self._rows: Rows | None = None

    @property
    def size(self) -> int:
        """One at a time."""
        return 1

    @property
    def executor(self) -> str:
        """What runs the trials."""
        return "in process, 1 worker"

    def load(self, data: TrialData) -> None:
        """Hold the rows of a run."""
        self._rows = unpack(data)

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Run all. The deadline is looked at between trials: nothing can stop a fit in one's own process."""
        if self._rows is None:
            raise PoolFailed("no rows are loaded: call load first.")
        until = time.monotonic() + deadline_s
        results: list[TrialResult] = []
        for trial in trials:
            if time.monotonic() >= until:
                raise TrialsLate(
                    f"{len(results)} of {len(trials)} trials were done after {deadline_s:g} s; allow more time or fewer."
                )
            results.append(self._try(self._rows, trial))
        return results

    def _try(self, rows: Rows, trial: TrialRequest) -> TrialResult:
        for _ in range(TRIES):
            try:
                return self._work(rows, trial)
            except WorkerLost:
                self._lost()
        raise PoolFailed(f"trial {trial.number} lost its worker {TRIES} times: look for memory that ran out.")

    def close(self) -> None:
        """Nothing to stop."""
        self._rows = None
