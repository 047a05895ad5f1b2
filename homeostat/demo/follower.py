"""Follows `decisions` and `routes` in a thread, so that the sender knows what was decided and where the log stands."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.codec import decode_json
from streams.events import Decided, Route

_EARLIEST: Final = -2
_RUN_BEGUN: Final = frozenset({"RecallStarted", "TrainingStarted"})
_RUN_ENDED: Final = frozenset({"TrainingEnded", "Recalled", "ChallengerFrozen", "CandidateRejected", "ShadowStarted"})
POLL_S: Final = 0.01
_FOLLOWED: Final = (topics.DECISIONS, topics.ROUTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A decision, and how many rows of its model's stream had been answered when it was seen."""

    decision: Decided
    row: int
    wall_s: float


class Follower:
    """What was decided so far. Lists only grow; a reader may look at them at any time."""

    def __init__(self, bootstrap_servers: str, rows_answered: Callable[[str], int]) -> None:
        self.decisions: list[Seen] = []
        self.routes: dict[str, Route] = {}
        self.every_route: list[Route] = []
        self.open_runs: dict[str, str] = {}
        """Per model the run (recall or training) that was started and has not ended."""
        self.failure: Exception | None = None
        self._rows_answered = rows_answered
        self._reader = ConfluentReader(bootstrap_servers)
        self._asker = ConfluentReader(bootstrap_servers)
        self._places = [(topic, number) for topic in _FOLLOWED for number in range(topics.named(topic).partitions)]
        self._reader.assign(dict.fromkeys(self._places, _EARLIEST))
        self._partitions: dict[str, int] = {}
        self._ids: set[str] = set()
        """Of all decisions: some thousands in a demo."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="decisions", daemon=True)
        self._thread.start()

    def wait_known(self, models: Iterable[str], timeout_s: float) -> bool:
        """Whether a decision about each of these models was seen within so many seconds."""
        deadline = time.monotonic() + timeout_s
        while not all(model in self._partitions for model in models):
            if time.monotonic() > deadline or self.failure is not None:
                return False
            time.sleep(POLL_S)
        return True

    def partition_of(self, model: str) -> int | None:
        """Partition of that model on control, decisions and routes alike; None before its first decision was seen."""
        return self._partitions.get(model)

    def end_of(self, topic: str, partition: int) -> int:
        """The end of that partition now. Blocks for the broker's answer."""
        return self._asker.end_offsets([(topic, partition)])[(topic, partition)]

    def has_seen(self, model: str, decided: str, at_least: tuple[int, int]) -> bool:
        """Whether this decision was seen and the model's route has that generation and revision. Raises what ended the thread."""
        if self.failure is not None:
            raise self.failure
        route = self.routes.get(model)
        return decided in self._ids and route is not None and (route.generation, route.revision) >= at_least

    def close(self) -> None:
        """Stop following."""
        self._stop.set()
        self._thread.join(timeout=5.0)
        self._reader.close()
        self._asker.close()

    def _follow(self) -> None:
        try:
            while not self._stop.is_set():
                for message in self._reader.poll(POLL_S, 500):
                    if message.topic == topics.ROUTES:
                        self._take_route(decode_json(message.value, Route))
                    else:
                        self._take_decision(decode_json(message.value, Decided))
        except Exception as error:  # noqa: BLE001 - told to whoever asks next, in `has_seen`
            self.failure = error

    def _take_decision(self, decision: Decided) -> None:
        row = self._rows_answered(decision.model)
        self._partitions.setdefault(decision.model, decision.partition)
        self._ids.add(decision.id)
        if decision.kind in _RUN_BEGUN:
            self.open_runs[decision.model] = decision.run
        elif decision.kind in _RUN_ENDED and self.open_runs.get(decision.model) == decision.run:
            del self.open_runs[decision.model]
        self.decisions.append(Seen(decision=decision, row=row, wall_s=time.monotonic()))

    def _take_route(self, route: Route) -> None:
        self.routes[route.model] = route
        self.every_route.append(route)
