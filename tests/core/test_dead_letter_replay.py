"""Dead letters sent again: once, whole or not at all, where they came from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from homeostat.dead_letter_replay import BATCH, OWNER, Letter, letters, send_again
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.memory import MemoryReader, MemoryTransaction
from streams.adapters.memory_log import MemoryLog
from streams.codec import decode_json, encode_json
from streams.dead_letter import KEPT_KEY_BYTES, KEPT_PAYLOAD_BYTES, dead_letter
from streams.events import DeadLettered
from streams.partitioner import partition_of
from streams.ports import Fenced, Message, Outgoing

AT = datetime(2026, 1, 1, tzinfo=UTC)


def letter_of(offset: int, *, topic: str = topics.LABELS, key: bytes = b"k", value: bytes = b"rubbish") -> DeadLettered:
    message = Message(topic=topic, partition=0, offset=offset, broker_time=AT, key=key, value=value)
    return dead_letter(message, "undecodable", "not JSON")


def written(log: MemoryLog, topic: str) -> list[Message]:
    return list(read_topic(MemoryReader(log), topic, 1.0))


def known(log: MemoryLog) -> list[Letter]:
    return letters(decode_json(message.value, DeadLettered) for message in written(log, topics.DEAD_LETTERS))


def put(log: MemoryLog, *found: DeadLettered) -> None:
    log.append([Outgoing(topic=topics.DEAD_LETTERS, key=b"", value=encode_json(one)) for one in found])


def begun(log: MemoryLog) -> MemoryTransaction:
    transaction = MemoryTransaction(log, OWNER)
    transaction.begin(1.0)
    return transaction


def test_a_letter_refused_twice_is_one(memory_log: MemoryLog) -> None:
    put(memory_log, letter_of(1), letter_of(2), letter_of(1))
    assert [one.letter.offset for one in known(memory_log)] == [1, 2]


def test_the_original_goes_back_whence_it_came_and_is_marked(memory_log: MemoryLog) -> None:
    """Bytes and key as they were; by key, so that what lay on a wrong partition goes to the right one."""
    put(memory_log, letter_of(1, topic=topics.CONTROL, key=b"churn", value=b'{"type":"Pause"}'), letter_of(2))
    first = known(memory_log)[0].letter
    assert list(send_again(begun(memory_log), [first])) == [1]
    (again,) = written(memory_log, topics.CONTROL)
    assert (again.key, again.value) == (b"churn", b'{"type":"Pause"}')
    assert again.partition == partition_of(b"churn", topics.named(topics.CONTROL).partitions)
    assert [(one.letter.offset, one.replayed) for one in known(memory_log)] == [(1, True), (2, False)]


def test_many_go_in_bounded_transactions(memory_log: MemoryLog) -> None:
    found = [letter_of(number) for number in range(BATCH + 3)]
    assert list(send_again(begun(memory_log), found)) == [BATCH, 3]
    assert len(written(memory_log, topics.LABELS)) == BATCH + 3


def test_of_two_who_do_it_at_once_one_is_fenced_and_writes_nothing(memory_log: MemoryLog) -> None:
    first, second = begun(memory_log), begun(memory_log)
    with pytest.raises(Fenced):
        list(send_again(first, [letter_of(1)]))
    assert written(memory_log, topics.LABELS) == []
    assert written(memory_log, topics.DEAD_LETTERS) == []
    assert sum(send_again(second, [letter_of(1)])) == 1


@pytest.mark.parametrize(
    ("letter", "said"),
    [
        (letter_of(1, value=b"x" * (KEPT_PAYLOAD_BYTES + 1)), f"only {KEPT_PAYLOAD_BYTES} of its {KEPT_PAYLOAD_BYTES + 1} bytes"),
        (letter_of(1, key=b"k" * (KEPT_KEY_BYTES + 1)), "its key has"),
        (letter_of(1, topic=topics.DECISIONS), "decisions is not a topic that is written by hand"),
        (letter_of(1, value=b"x" * KEPT_PAYLOAD_BYTES), ""),
    ],
)
def test_what_was_cut_is_not_sent(letter: DeadLettered, said: str) -> None:
    refusal = Letter(letter=letter, replayed=False).refusal()
    assert refusal.startswith(said) if said else not refusal


@pytest.mark.parametrize(
    ("payload", "model"), [(b'{"model": "churn", "x": 1}', "churn"), (b"\xff", ""), (b"[1]", ""), (b'{"model": 3}', "")]
)
def test_the_model_is_what_the_bytes_say_where_the_letter_does_not(payload: bytes, model: str) -> None:
    assert Letter(letter=letter_of(1, value=payload), replayed=False).model == model
