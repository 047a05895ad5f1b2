"""Warm Ray actors, one per CPU, that live as long as the trainer: a trial costs its fit and a millisecond."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from trainer.adapters import ray_process
from trainer.adapters.ray_process import RayPlace
from trainer.adapters.ray_worker import RayWorker
from trainer.trial import PoolFailed, TrialData, TrialRequest, TrialResult, TrialsLate

TRIES: Final = 3
"""Workers that one trial may lose: more, and the trial itself kills them (memory, say)."""
WARM_S: Final = 120.0
WAIT_S: Final = 0.25
"""How often a waiting pool looks whether it is to stop."""


class RayPool:
    """A fixed number of actors. A dead one is replaced and its trial run again; `lost` is told each time."""

    def __init__(
        self, place: RayPlace, lost: Callable[[], None] = lambda: None, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Start Ray (seconds) and its actors. Raises PoolFailed."""
        self._place = place
        self._lost = lost
        self._stopped = stopped
        self._data: Any = None
        self._vacant: set[int] = set()
        self._temporary = ray_process.start(place)
        try:
            self._actors = [self._hired() for _ in range(place.cpus)]
            self._pids = [self._pid(actor) for actor in self._actors]
        except PoolFailed:
            self.close()
            raise

    @property
    def size(self) -> int:
        """How many trials run at once."""
        return self._place.cpus

    @property
    def executor(self) -> str:
        """What runs the trials."""
        where = self._place.address or "local"
        return f"ray {ray_process.version()} ({where}), {self.size} warm {'worker' if self.size == 1 else 'workers'}"

    @property
    def pids(self) -> Sequence[int]:
        """Process ids of the workers as they were hired."""
        return tuple(self._pids)

    def load(self, data: TrialData) -> None:
        """Put the rows into the object store once and let every worker take them. Raises PoolFailed."""
        import ray

        try:
            for place in sorted(self._vacant):
                self._hire_again(place)
            self._data = ray.put(msgspec.msgpack.encode(data))
            for actor in self._actors:
                actor.load.remote(self._data)
        except (ray.exceptions.RayError, ConnectionError, RuntimeError) as error:
            raise PoolFailed(f"Ray did not take the rows: {_line(error)}") from error

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Run all within so many seconds; results in the order of the requests. Raises PoolFailed, TrialsLate."""
        import ray

        if self._data is None or self._vacant:
            raise PoolFailed("no rows are loaded: call load first.")
        shift = _Shift(trials, time.monotonic() + deadline_s)
        free = list(range(len(self._actors)))
        try:
            while len(shift.results) < len(trials):
                while free and shift.waiting:
                    self._begin(shift, free.pop(0))
                ready, _ = ray.wait(list(shift.running), num_returns=1, timeout=min(WAIT_S, shift.left_s()))
                for reference in ready:
                    free.append(self._end(shift, reference))
                if not ready and (shift.left_s() <= 0.0 or self._stopped()):
                    raise TrialsLate(
                        f"{len(shift.results)} of {len(trials)} trials were done after {deadline_s:g} s or at the stop."
                    )
        except (ray.exceptions.RayError, ConnectionError) as error:
            raise PoolFailed(f"Ray failed: {_line(error)}") from error
        finally:
            # What still runs is of a run that is given up: its worker must be free for the next.
            self._dismiss({place for place, _ in shift.running.values()})
        return [shift.results[trial.number] for trial in trials]

    def close(self) -> None:
        """Stop the actors and the local Ray."""
        self._actors = []
        self._data = None
        ray_process.stop(self._temporary)

    def _begin(self, shift: _Shift, place: int) -> None:
        trial = shift.waiting.popleft()
        shift.running[self._actors[place].run.remote(msgspec.msgpack.encode(trial))] = (place, trial)

    def _end(self, shift: _Shift, reference: Any) -> int:
        """Take a result, or put the trial of a dead worker back; returns the place that is free again."""
        import ray

        place, trial = shift.running.pop(reference)
        try:
            shift.results[trial.number] = msgspec.msgpack.decode(ray.get(reference), type=TrialResult)
        except ray.exceptions.RayActorError:
            self._lost()
            self._vacant.add(place)
            shift.lose(trial)
            self._hire_again(place)
            self._actors[place].load.remote(self._data)
        return place

    def _dismiss(self, places: set[int]) -> None:
        import ray

        self._vacant |= places
        for place in places:
            with contextlib.suppress(ray.exceptions.RayError, ConnectionError):
                ray.kill(self._actors[place])

    def _hire_again(self, place: int) -> None:
        actor = self._hired()
        self._actors[place] = actor
        self._pids[place] = self._pid(actor)
        self._vacant.discard(place)

    def _hired(self) -> Any:
        import ray

        return ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(RayWorker).remote()

    def _pid(self, actor: Any) -> int:
        import ray

        try:
            return int(ray.get(actor.warm.remote(), timeout=WARM_S))
        except ray.exceptions.RayError as error:
            raise PoolFailed(f"a Ray worker did not start within {WARM_S:.0f} s: {_line(error)}") from error


class _Shift:
    """What one call of `run` has waiting, running and done."""

    def __init__(self, trials: Sequence[TrialRequest], until: float) -> None:
        self.waiting = deque(trials)
        self.running: dict[Any, tuple[int, TrialRequest]] = {}
        self.results: dict[int, TrialResult] = {}
        self._until = until
        self._losses: dict[int, int] = {}

    def left_s(self) -> float:
        """Until the deadline; never negative."""
        return max(self._until - time.monotonic(), 0.0)

    def lose(self, trial: TrialRequest) -> None:
        """Its worker died: again, first, but not for ever. Raises PoolFailed."""
        self._losses[trial.number] = self._losses.get(trial.number, 0) + 1
        if self._losses[trial.number] >= TRIES:
            raise PoolFailed(f"trial {trial.number} lost its worker {TRIES} times: look for memory that ran out.")
        self.waiting.appendleft(trial)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
