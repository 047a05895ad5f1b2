"""The desk beside the one that folds windows: every model's challenger, on a thread of its own.

Nothing here ends the process. What a model's rows do to its challenger is that model's alone: it begins anew, and is off for a
while after MOST_FAILURES in a row. A broker, a store or a disk that is away is waited for: what is kept is told later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from drift.monitoring import ModelState
from homeostat.agents_meters import AgentsMeters
from homeostat.challenger_keeper import Bench, ChallengerKeeper
from homeostat.challenger_models import ChallengerModels
from homeostat.challenger_start import Model
from homeostat.incident_book import IncidentBook
from homeostat.write_control import steering
from streams.ports import LogUnavailable, LogWriter, PositionLost, RecordTooLarge
from streams.release import BlobCorrupt, BlobMissing
from trainer.adapters.lake_files import Interrupted
from trainer.candidate import NotTrainable

WRITE_S: Final = 10.0
RETRY_S: Final = 1.0
FRESH_S: Final = 0.1
"""How old what is known of data bugs may be when rows are taken."""
IDLE_FRESH_S: Final = 2.0
"""The same while there are none."""
MOST_FAILURES: Final = 3
OFF_S: Final = 300.0
MOST_OFF_S: Final = 3_600.0
LEAST_LOOK_S: Final = 0.02
MOST_LOOK_S: Final = 1.0
TELL_EVERY_S: Final = 10.0

_AWAY: Final = (OSError, LogUnavailable, PositionLost, BlobMissing)
"""What passes by itself."""
_UNREADABLE: Final = (BlobCorrupt, NotTrainable, msgspec.DecodeError)
"""What a release may have wrong with it, until another serves."""

log = logging.getLogger("homeostat.agents")


class ChallengerDesk:
    """`turn` is called from one thread; `position` from any."""

    def __init__(
        self,
        *,
        models: Callable[[], Mapping[str, ModelState]],
        book: IncidentBook,
        writer: LogWriter,
        bench: Bench,
        meters: AgentsMeters,
    ) -> None:
        self._models = models
        self._book = book
        self._known = ChallengerModels(bench.store, book)
        self._writer = writer
        self._bench = bench
        self._meters = meters
        self._keepers: dict[str, ChallengerKeeper] = {}
        self._failures: dict[str, int] = {}
        self._off_until_s: dict[str, float] = {}
        self._told_s: dict[str, float] = {}
        self._taken: dict[str, int] = {}

    def run(self, stop: threading.Event, look_s: float) -> None:
        """Turn until `stop`, looking at the lake so often."""
        self._bench.lake.interrupted = stop.is_set
        while not stop.is_set():
            try:
                busy = self.turn()
            except Interrupted:
                return
            # The one boundary: a fault in here must not end what the process is there for.
            except Exception:
                log.exception("the challengers' desk")
                stop.wait(RETRY_S)
                continue
            if not busy:
                stop.wait(look_s)

    def turn(self) -> bool:
        """Take what the lake has new, keep it, tell it; True: there may be more at once."""
        states = self._models()
        running = {name: state for name, state in states.items() if state.policy.challenger.enabled}
        for name in states:
            self._meters.challenger_off(name, name not in running or self._is_off(name))
        self._keepers = {name: keeper for name, keeper in self._keepers.items() if name in running}
        self._taken = {name: taken for name, taken in self._taken.items() if name in running}
        if not running:
            return False
        try:
            self._bench.lake.look()
        except OSError as error:
            self._say("", "challengers wait, the lake cannot be read: %s", error)
            return False
        waiting = any(name not in self._keepers or self._keepers[name].waiting_files() for name in running)
        try:
            self._book.look(FRESH_S if waiting else IDLE_FRESH_S)
        except (LogUnavailable, PositionLost) as error:
            # Rows that a data bug spoilt must not be taken for want of the word.
            self._say("", "challengers wait, control cannot be read: %s", error)
            return False
        busy = [self._step(name, state) for name, state in sorted(running.items()) if not self._is_off(name)]
        told = self._send()
        return told is not None and (told > 0 or any(busy))

    def position(self) -> dict[str, int | None]:
        """By model, the label rows taken and told of; None: its challenger is off."""
        states, taken = self._models(), self._taken
        return {
            name: None if not state.policy.challenger.enabled or self._is_off(name) else taken.get(name, 0)
            for name, state in sorted(states.items())
        }

    def _is_off(self, name: str) -> bool:
        return self._off_until_s.get(name, 0.0) > self._bench.clock()

    def _step(self, name: str, state: ModelState) -> bool:
        started_s = self._bench.clock()
        try:
            model = self._known.known(name, state)
            if model is None:
                return False
            taken = self._guarded(name, model)
        except _AWAY as error:
            self._say(name, "%s: its challenger waits: %s", name, error)
            return False
        except _UNREADABLE as error:
            self._say(name, "%s: its challenger waits for another champion: %s", name, error)
            return False
        self._meters.challenger_turned(name, seconds=self._bench.clock() - started_s, waiting=self._keepers[name].waiting_files())
        return taken

    def _guarded(self, name: str, model: Model) -> bool:
        if name not in self._keepers:
            self._keepers[name] = ChallengerKeeper(name, self._bench)
        keeper = self._keepers[name]
        try:
            if self._off_until_s.pop(name, None) is not None:
                keeper.begin_past_all(model, "it was off, as it had failed", warm=self._failures[name] % 2 == 1)
            taken = keeper.step(model)
        except (*_AWAY, Interrupted):
            raise
        # The boundary of a model: its rows, or its file, may do to the arithmetic what nobody has thought of.
        except Exception as error:
            log.exception("%s: its challenger failed", name)
            self._failed(name, model, error)
            return False
        if taken:
            self._failures.pop(name, None)
        return taken

    def _failed(self, name: str, model: Model, error: Exception) -> None:
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        self._meters.challenger_failed(name)
        if failures >= MOST_FAILURES:
            off_s = off_seconds(failures)
            self._off_until_s[name] = self._bench.clock() + off_s
            log.error("%s: its challenger is off for %g s; staleness is measured without it", name, off_s)
            return
        why = f"it failed: {type(error).__name__}: {error}"[:500]
        try:
            # Not by rows again if those were what it failed on twice.
            self._keepers[name].begin_past_all(model, why, warm=failures == 1)
        except (*_AWAY, Interrupted):
            raise
        except Exception:
            log.exception("%s: its challenger cannot begin anew", name)

    def _send(self) -> int | None:
        """Tell what is owed, so many records; None: the broker is away."""
        owing = {name: keeper for name, keeper in self._keepers.items() if keeper.owed}
        records = [record for keeper in owing.values() for record in keeper.owed]
        if records:
            try:
                self._writer.write(steering(*records), WRITE_S)
            except LogUnavailable as error:
                self._say("", "challengers' records are told later: %s", error)
                return None
            except RecordTooLarge as error:
                log.error("challengers' records are left untold, the broker will never take them: %s", error)
            self._bench.crash.reached("agents:challenger_written")
        for keeper in owing.values():
            keeper.acknowledged()
        taken = {name: keeper.taken for name, keeper in self._keepers.items()}
        self._taken = {name: rows for name, rows in taken.items() if rows is not None}
        return len(records)

    def _say(self, about: str, text: str, *values: object) -> None:
        """Now and then: it is tried again every moment."""
        now_s = time.monotonic()
        if now_s - self._told_s.get(about, -TELL_EVERY_S) >= TELL_EVERY_S:
            self._told_s[about] = now_s
            log.warning(text, *values)


def off_seconds(failures: int) -> float:
    """How long a challenger is off, before it is tried again, that failed so often in a row: doubling, bounded.

    >>> [off_seconds(failures) for failures in (3, 4, 20)]
    [300.0, 600.0, 3600.0]
    """
    return min(OFF_S * 2.0 ** min(failures - MOST_FAILURES, 16), MOST_OFF_S)


def look_every_s(lake_tick_ms: int) -> float:
    """How often the lake is looked at: a quarter of the time in which a file grows, within bounds.

    >>> look_every_s(60_000), look_every_s(200)
    (1.0, 0.05)
    """
    return min(max(lake_tick_ms / 4_000, LEAST_LOOK_S), MOST_LOOK_S)
