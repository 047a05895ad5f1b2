"""Under which policy, and knowing what people said of incidents, a window is folded: decided by the log's own clock, so that reading
again decides alike."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from homeostat import restoration
from streams import topics
from streams.events import AcceptChange, ModelRegistered, PolicySet, ReleaseQuarantine, Restored
from streams.policy import Policy
from streams.policy_log import Acting, PolicyLog
from streams.ports import LogReader, LogUnavailable

PLACES: Final = tuple((topics.CONTROL, partition) for partition in range(topics.named(topics.CONTROL).partitions))
SETTLED: Final = timedelta(seconds=2)
"""A record holds for windows that the broker took so long after it. By then it is certain to have been read."""
FRESH_S: Final = 1.0
"""How old the last look at `control` may be; less than SETTLED."""
KEPT: Final = 64
"""Policies of a model that are remembered."""
WORDS_KEPT: Final = 256
"""Changes accepted and incidents released that are remembered of a model."""
BATCH: Final = 1_000

log = logging.getLogger("homeostat.agents")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What holds for a window. `accepted`, `released`: what is new since the word that was heard last."""

    policy: Policy | None = None
    """None: the model has none yet."""
    accepted: tuple[str, ...] = ()
    """Features of which a person said that they really changed."""
    released: tuple[str, ...] = ()
    """Incidents that a person ended."""
    heard_until: datetime | None = None
    """Broker time of the newest of those words."""


@dataclass(frozen=True, slots=True)
class _Entry:
    broker_time: datetime
    policy: Policy


@dataclass(frozen=True, slots=True)
class _Word:
    broker_time: datetime
    accepted: str = ""
    """A feature that really changed."""
    released: str = ""
    """An incident that a person ended."""


class PolicyBook:
    """What `control` says of policies and incidents, read as far as its end was a moment ago."""

    def __init__(self, reader: LogReader, *, timeout_s: float = 30.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._clock = clock
        self._entries: dict[str, list[_Entry]] = {}
        self._words: dict[str, list[_Word]] = {}
        self._log = PolicyLog()
        self._looked_at: float | None = None

    def at(self, model: str, broker_time: datetime, heard_until: datetime | None = None) -> Settled:
        """The newest policy settled at that time, else the model's first, and what people said since. Raises LogUnavailable."""
        if self._looked_at is None or self._clock() - self._looked_at > FRESH_S or model not in self._entries:
            self._look()
        latest = broker_time - SETTLED
        entries = self._entries.get(model, [])
        settled = [entry for entry in entries if entry.broker_time <= latest] or entries[:1]
        words = [word for word in self._words.get(model, []) if word.broker_time <= latest]
        new = [word for word in words if heard_until is None or word.broker_time > heard_until]
        return Settled(
            policy=settled[-1].policy if settled else None,
            accepted=tuple(word.accepted for word in new if word.accepted),
            released=tuple(word.released for word in new if word.released),
            heard_until=new[-1].broker_time if new else heard_until,
        )

    def _look(self) -> None:
        """Read up to the present end. After a failure all is read again: the reader may have dropped what it had in hand."""
        try:
            self._read_on()
        except Exception:
            self._looked_at = None
            self._entries.clear()
            self._words.clear()
            raise

    def _read_on(self) -> None:
        now = self._clock()
        ends = self._reader.end_offsets(PLACES)
        if self._looked_at is None:
            self._log = PolicyLog()
            self._reader.assign(dict.fromkeys(PLACES, -2))
        deadline = now + self._timeout_s
        while any(self._reader.position(place) < end for place, end in ends.items()):
            messages = self._reader.poll(0.1, BATCH)
            for message in messages:
                record = self._log.acting(message)
                if record is not None:
                    self._note(record, message.broker_time)
            if messages:
                deadline = self._clock() + self._timeout_s
            elif self._clock() > deadline:
                raise LogUnavailable(f"control: no progress for {self._timeout_s:g} s before its end")
        self._looked_at = now

    def _note(self, record: Acting, broker_time: datetime) -> None:
        match record:
            case AcceptChange():
                self._heard(record.model, _Word(broker_time, accepted=record.feature))
            case ReleaseQuarantine():
                self._heard(record.model, _Word(broker_time, released=record.incident))
            case Restored():
                for feature in _accepted_before(record):
                    self._heard(record.model, _Word(broker_time, accepted=feature))
            case ModelRegistered() | PolicySet():
                entries = self._entries.setdefault(record.model, [])
                entries.append(_Entry(broker_time, record.policy))
                del entries[1 : max(len(entries) - KEPT, 1)]  # the first stays: it holds for windows before any settled

    def _heard(self, model: str, word: _Word) -> None:
        words = self._words.setdefault(model, [])
        words.append(word)
        del words[: max(len(words) - WORDS_KEPT, 0)]


def _accepted_before(record: Restored) -> tuple[str, ...]:
    """What people had accepted in the log that is gone."""
    try:
        return restoration.state_in(record).accepted
    except restoration.Unusable:
        return ()  # the controller refuses it, with its reason
