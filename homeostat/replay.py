"""`homeostat replay`: recomputes every decision from the log in this process and compares it with what was decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.control_fold import PartitionState, fold
from homeostat.read_topic import read_topic
from streams import topics
from streams.adapters.confluent import ConfluentReader
from streams.codec import decode_json
from streams.events import Decided
from streams.ports import Message

READ_TIMEOUT_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """How the decisions in the log compare with the fold. `differing` is empty when anyone recomputes the same."""

    records: int
    decisions: int
    recomputed: int
    differing: tuple[str, ...]


def run(settings: Settings) -> ReplayResult:
    """Read `control` and `decisions` from the broker and compare."""
    reader = ConfluentReader(settings.bootstrap_servers)
    try:
        decided = [
            decode_json(message.value, Decided, topics.named(topics.DECISIONS).max_record_bytes)
            for message in read_topic(reader, topics.DECISIONS, READ_TIMEOUT_S)
        ]
        control = list(read_topic(reader, topics.CONTROL, READ_TIMEOUT_S))
    finally:
        reader.close()
    return compare(control, decided)


def compare(control: Iterable[Message], decided: Iterable[Decided]) -> ReplayResult:
    """Fold `control` and hold the result against `decided`; decisions on records still unfolded are not missed."""
    recorded: dict[str, Decided] = {}
    folded_until: dict[int, int] = defaultdict(int)
    differing: list[str] = []
    for decision in decided:
        if decision.id in recorded:
            differing.append(f"{decision.id}: stands twice in the log")
        recorded[decision.id] = decision
        folded_until[decision.partition] = max(folded_until[decision.partition], decision.offset)
    states: dict[int, PartitionState] = defaultdict(PartitionState)
    recomputed: dict[str, Decided] = {}
    records = 0
    for message in control:
        records += 1
        if message.partition not in states and message.offset > 0:
            return ReplayResult(
                records=0,
                decisions=len(recorded),
                recomputed=0,
                differing=(f"control-{message.partition} begins at offset {message.offset}: its beginning is no longer kept",),
            )
        states[message.partition], result = fold(states[message.partition], message)
        for decision in result.decisions:
            if message.offset <= folded_until[message.partition]:
                recomputed[decision.id] = decision
    differing += [_difference(key, recorded.get(key), recomputed.get(key)) for key in sorted(recorded.keys() | recomputed.keys())]
    return ReplayResult(
        records=records,
        decisions=len(recorded),
        recomputed=len(recomputed),
        differing=tuple(line for line in differing if line),
    )


def _difference(key: str, recorded: Decided | None, recomputed: Decided | None) -> str:
    if recorded is None:
        assert recomputed is not None
        return f"{key}: recomputed {recomputed.kind} of {recomputed.model}, which is not in the log"
    if recomputed is None:
        return f"{key}: {recorded.kind} of {recorded.model} is in the log, but does not follow from control"
    # By whichever core: a newer one that decides otherwise shows, one that decides the same agrees.
    if msgspec.json.encode(msgspec.structs.replace(recorded, core=recomputed.core)) != msgspec.json.encode(recomputed):
        return f"{key}: decided {recorded.kind} ({recorded.why}), recomputed {recomputed.kind} ({recomputed.why})"
    return ""
