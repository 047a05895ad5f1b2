"""Which records of `control` about policies and incidents really act, for those who read it beside the controller.

Serving and agents follow policies themselves. What the controller refuses must not act there either: a record before the model's
registration, a second registration, a policy with a fault, one dated later than the broker's clock, or one that acted before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from datetime import timedelta
from typing import Final, TypeAlias

from streams.codec import Undecodable, decode_control
from streams.events import AcceptChange, Control, ModelRegistered, PolicySet, ReleaseQuarantine, Restored
from streams.policy_limits import fault
from streams.ports import Message

AHEAD: Final = timedelta(minutes=5)
"""A record dated so much later than the broker took it is refused: by the controller, and so here."""
IDS_KEPT: Final = 512
"""Ids of a model's records that act no second time: the controller remembers as many."""
_MARKS: Final = (b"PolicySet", b"ModelRegistered", b"AcceptChange", b"ReleaseQuarantine", b"Restored")

Acting: TypeAlias = ModelRegistered | PolicySet | AcceptChange | ReleaseQuarantine | Restored


def marked(message: Message, marks: Iterable[bytes]) -> Control | None:
    """The record of `control` in a message that has one of these marks, if it can be read and lies under its model's key.

    What has none is not decoded: most of the topic is about other things.
    """
    if not any(mark in message.value for mark in marks):
        return None
    try:
        record = decode_control(message.value)
    except Undecodable:
        return None
    return record if message.key == record.model.encode() else None


class PolicyLog:
    """Reads `control` from its beginning, in order."""

    def __init__(self) -> None:
        self._seen: dict[str, OrderedDict[str, None]] = {}
        """By registered model."""
        self._first: dict[int, int] = {}
        """By partition, the first offset read: beyond 0 its beginning is no longer kept, registrations included."""

    def acting(self, message: Message) -> Acting | None:
        """The record of this message, if it acts on policies or incidents."""
        first = self._first.setdefault(message.partition, message.offset)
        record = marked(message, _MARKS)
        if not isinstance(record, Acting) or record.at > message.broker_time + AHEAD:
            return None
        if isinstance(record, ModelRegistered | PolicySet) and fault(record.policy):
            return None
        begins, known = isinstance(record, ModelRegistered | Restored), record.model in self._seen
        if (begins and known) or not (begins or known or first > 0):
            return None  # a second beginning, or what comes before the first
        seen = self._seen.setdefault(record.model, OrderedDict())
        if record.id in seen:
            return None
        seen[record.id] = None
        while len(seen) > IDS_KEPT:
            seen.popitem(last=False)
        return record
