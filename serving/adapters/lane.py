"""The thread on which one release is scored beside the champion: when it hangs, it holds up nobody but itself."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from serving.answer import Outcome, Predictor, Row, score
from streams.contract import TargetContract

QUEUED_JOBS: Final = 64
_STOP: Final = None


class Job:
    """One batch to be scored. `unwanted` is set when nobody waits any more; a job not yet begun is then skipped.

    `found` (outcomes, and CPU time in microseconds) is there as soon as it is known; `done` is called after that, from the lane.
    """

    __slots__ = ("done", "found", "groups", "unwanted")

    def __init__(self, groups: Sequence[Sequence[Row]], done: Callable[[], None]) -> None:
        self.groups = groups
        self.done = done
        self.found: tuple[list[Outcome], int] | None = None
        self.unwanted = False


class Lane:
    """A daemon thread with a bounded queue. Not an executor: those join their threads at exit, and a hung one would keep us."""

    def __init__(self, predictor: Predictor, target: TargetContract, name: str) -> None:
        self._predictor = predictor
        self._target = target
        self._jobs: queue.Queue[Job | None] = queue.Queue(QUEUED_JOBS)
        self._closed = threading.Event()
        threading.Thread(target=self._run, name=f"lane-{name}", daemon=True).start()

    def submit(self, job: Job) -> bool:
        """Queue a batch; False: the lane is full (its predictor hangs or is far too slow)."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Let the thread end after what it is doing; a hung one ends with the process."""
        self._closed.set()
        try:
            self._jobs.put_nowait(_STOP)
        except queue.Full:
            return  # the thread looks at `_closed` after each job

    def _run(self) -> None:
        while not self._closed.is_set():
            job = self._jobs.get()
            if job is _STOP:
                return
            if job.unwanted:
                job.done()
                continue
            # This thread's own CPU time: what it waits for the interpreter and for other processes is not the model's.
            began = time.thread_time_ns()
            outcomes = score(self._predictor, job.groups, self._target)
            job.found = (outcomes, (time.thread_time_ns() - began) // 1_000)
            job.done()
