"""A recorded log of the demo: whatever the code is by now, it must fold to the decisions that were made then.

A change that decides otherwise on purpose raises `CORE` in homeostat/loop.py, says which decisions differ and why, and
records the log anew.
"""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from homeostat import replay
from streams import topics
from streams.codec import decode_json
from streams.events import Decided
from streams.ports import Message

RECORDED = Path(__file__).parents[1] / "data" / "demo_log.msgpack.gz"
Entry = tuple[int, int, str, bytes, bytes]


@pytest.fixture(scope="module")
def recorded() -> tuple[list[Message], list[Decided]]:
    """`control` and `decisions` of one whole `demo --all`."""
    control, decisions = msgspec.msgpack.decode(gzip.decompress(RECORDED.read_bytes()), type=tuple[list[Entry], list[Entry]])
    messages = [
        Message(
            topic=topics.CONTROL,
            partition=partition,
            offset=offset,
            broker_time=datetime.fromisoformat(at),
            key=key,
            value=value,
        )
        for partition, offset, at, key, value in control
    ]
    return messages, [decode_json(value, Decided) for *_, value in decisions]


def test_the_recorded_demo_folds_to_the_decisions_made_then(recorded: tuple[list[Message], list[Decided]]) -> None:
    """Every decision, to the last number."""
    messages, decisions = recorded
    result = replay.compare(messages, decisions)
    assert result.differing == ()
    assert result.recomputed == result.decisions == len(decisions)


def test_the_recorded_demo_healed_one_model_and_left_the_other_alone(recorded: tuple[list[Message], list[Decided]]) -> None:
    """What the log says happened; a run promotes at most once (a recalled release may serve again)."""
    kinds = Counter((decision.model, decision.kind) for decision in recorded[1])
    assert kinds[("electricity", "Promoted")] == 9
    assert (kinds[("electricity", "TrainingStarted")], kinds[("electricity", "ChallengerFrozen")]) == (7, 4)
    assert kinds[("electricity", "Recalled")] == 3
    assert kinds[("electricity-shuffled", "TrainingStarted")] == 0
    promoted = Counter(decision.run for decision in recorded[1] if decision.kind == "Promoted")
    assert max(promoted.values()) == 1


def test_the_recorded_demo_refused_what_it_had_to(recorded: tuple[list[Message], list[Decided]]) -> None:
    """An override that the losses took out, a data bug on which nothing was trained, a world that came back."""
    kinds = Counter((decision.model, decision.kind) for decision in recorded[1])
    assert kinds[("electricity-override", "GateOverridden")] == kinds[("electricity-override", "RolledBack")] == 1
    assert kinds[("electricity-bug", "IncidentOpened")] == kinds[("electricity-bug", "IncidentClosed")] == 3
    assert kinds[("electricity-bug", "TrainingStarted")] == 0
    assert kinds[("electricity-bug-untriaged", "TrainingStarted")] >= 1
    assert kinds[("electricity-recurring", "Recalled")] == 1
