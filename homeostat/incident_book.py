"""What `control` says of data bugs, model by model, for those who choose rows to learn from beside the controller.

The same words mean here what they mean to the controller: see `incident_flow`. What the agents say of an incident counts once the
controller has decided that it does: `decisions` names the record. Until then it may be one that the controller refuses.
"""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias, assert_never

from homeostat import incident_rules, restoration
from streams import topics
from streams.codec import Undecodable, decode_json
from streams.events import (
    AcceptChange,
    Decided,
    LossesGathered,
    ModelRegistered,
    PolicySet,
    QualityIncident,
    QuarantineRule,
    ReleaseQuarantine,
    Restored,
)
from streams.policy_log import Acting, PolicyLog, marked
from streams.ports import LogReader, LogUnavailable, Message
from streams.quarantine import ended

PLACES: Final = tuple(
    (topic, partition) for topic in (topics.CONTROL, topics.DECISIONS) for partition in range(topics.named(topic).partitions)
)
BATCH: Final = 1_000
TIMEOUT_S: Final = 30.0
WORDS_KEPT: Final = 256
"""Records of a model that a decision may still confirm; older ones stand as they are."""
CONFIRMED_KEPT: Final = 1_024
_MARKS: Final = (b"QualityIncident", b"LossesGathered")
_DECIDES: Final = (b"IncidentOpened", b"IncidentClosed")

Place: TypeAlias = tuple[int, int]
"""Partition and offset of a record of `control`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incidents:
    """Of one model."""

    rules: tuple[QuarantineRule, ...] = ()
    """Open and closed, the newest last."""
    accepted: tuple[str, ...] = ()
    released: tuple[QuarantineRule, ...] = ()
    watermark: datetime | None = None
    """Event time up to which losses were gathered: where a rule ends that a person ends."""


NONE: Final = Incidents()


def told(known: Incidents, record: QualityIncident | LossesGathered | Acting) -> Incidents:
    """What is known after a record."""
    match record:
        case LossesGathered():
            return replace(known, watermark=max(record.at, known.watermark or record.at))
        case QualityIncident() if record.closed:
            over = record.rule.until or record.at
            return replace(known, rules=incident_rules.closed(known.rules, record.rule.incident, over))
        case QualityIncident() if any(record.rule.incident == one.incident for one in (*known.rules, *known.released)):
            return known
        case QualityIncident():
            return replace(known, rules=incident_rules.opened(known.rules, record.rule))
        case AcceptChange():
            accepted = incident_rules.with_accepted(known.accepted, record.feature)
            return replace(known, accepted=accepted, rules=incident_rules.without_feature(known.rules, record.feature))
        case ReleaseQuarantine():
            return _released(known, record)
        case Restored():
            return _restored(record)
        case ModelRegistered() | PolicySet():
            return known
        case _:
            assert_never(record)


def _released(known: Incidents, record: ReleaseQuarantine) -> Incidents:
    rule = next((one for one in known.rules if one.incident == record.incident), None)
    if rule is None:
        return known
    return replace(
        known,
        rules=incident_rules.without(known.rules, record.incident),
        released=incident_rules.with_released(known.released, rule, known.watermark or record.at),
    )


def _restored(record: Restored) -> Incidents:
    try:
        state = restoration.state_in(record)
    except restoration.Unusable:
        return NONE  # the controller refuses it, with its reason
    rules = tuple(ended(rule, state.watermark) for rule in state.incidents)
    return Incidents(rules=rules, accepted=state.accepted, released=state.released, watermark=state.watermark)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    place: Place
    record: QualityIncident | Acting
    watermark: datetime | None


class _Page:
    """Of one model: its records in their order, folded anew when a decision confirms one."""

    def __init__(self) -> None:
        self._base = NONE
        self._words: list[_Word] = []
        self._confirmed: OrderedDict[Place, None] = OrderedDict()
        self._watermark: datetime | None = None
        self._known: Incidents | None = None

    @property
    def known(self) -> Incidents:
        """What all confirmed words come to."""
        if self._known is None:
            known = self._base
            for word in self._words:
                known = self._after(known, word)
            self._known = replace(known, watermark=self._watermark)
        return self._known

    def say(self, place: Place, record: QualityIncident | LossesGathered | Acting) -> None:
        self._known = None
        if isinstance(record, LossesGathered):
            self._watermark = max(record.at, self._watermark or record.at)
            return
        if isinstance(record, Restored):
            self._base, self._words = told(NONE, record), []
            self._watermark = self._base.watermark
            return
        if not isinstance(record, ModelRegistered | PolicySet):
            self._words.append(_Word(place=place, record=record, watermark=self._watermark))

    def confirm(self, place: Place) -> None:
        self._known = None
        self._confirmed[place] = None

    def trim(self) -> None:
        """Once both topics are read: what lies too far back for a decision to come is settled."""
        for word in self._words[:-WORDS_KEPT]:
            self._base = self._after(self._base, word)
        del self._words[:-WORDS_KEPT]
        while len(self._confirmed) > CONFIRMED_KEPT:
            self._confirmed.popitem(last=False)

    def _after(self, known: Incidents, word: _Word) -> Incidents:
        if isinstance(word.record, QualityIncident) and word.place not in self._confirmed:
            return known
        return told(replace(known, watermark=word.watermark), word.record)


class IncidentBook:
    """Reads `control`, and what was decided on it, as far as their ends were a moment ago."""

    def __init__(self, reader: LogReader, *, timeout_s: float = TIMEOUT_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._clock = clock
        self._pages: defaultdict[str, _Page] = defaultdict(_Page)
        self._log = PolicyLog()
        self._looked_at: float | None = None

    def of(self, model: str) -> Incidents:
        """What is known of a model since the last look."""
        return self._pages[model].known if model in self._pages else NONE

    def look(self, fresh_s: float) -> None:
        """Read up to the present end, if the last look is older than so. Raises LogUnavailable, PositionLost.

        After a failure all is read again: the reader may have dropped what it had in hand.
        """
        if self._looked_at is not None and self._clock() - self._looked_at < fresh_s:
            return
        try:
            self._read_on()
        except Exception:
            self._looked_at = None
            raise

    def _read_on(self) -> None:
        ends = self._reader.end_offsets(PLACES)
        if self._looked_at is None:
            self._pages, self._log = defaultdict(_Page), PolicyLog()
            self._reader.assign(dict.fromkeys(PLACES, -2))
        deadline = self._clock() + self._timeout_s
        while any(self._reader.position(place) < end for place, end in ends.items()):
            messages = self._reader.poll(0.1, BATCH)
            for message in messages:
                self._take(message)
            if messages:
                deadline = self._clock() + self._timeout_s
            elif self._clock() > deadline:
                raise LogUnavailable(f"control: no progress for {self._timeout_s:g} s before its end")
        for page in self._pages.values():
            page.trim()
        self._looked_at = self._clock()

    def _take(self, message: Message) -> None:
        if message.topic == topics.DECISIONS:
            if (decided := _of_incident(message)) is not None:
                self._pages[decided.model].confirm((decided.partition, decided.offset))
            return
        record = self._log.acting(message) or _of_agents(message)
        if record is not None:
            self._pages[record.model].say((message.partition, message.offset), record)


def _of_incident(message: Message) -> Decided | None:
    if not any(mark in message.value for mark in _DECIDES):
        return None
    try:
        decided = decode_json(message.value, Decided)
    except Undecodable:
        return None
    return decided if decided.kind in {"IncidentOpened", "IncidentClosed"} else None


def _of_agents(message: Message) -> QualityIncident | LossesGathered | None:
    record = marked(message, _MARKS)
    return record if isinstance(record, QualityIncident | LossesGathered) else None
