"""A command on the log: its records are written, the decisions they cause are waited for, and what became of it is said."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypedDict
from uuid import uuid4

from config.settings import Settings
from homeostat.commands.options import person
from homeostat.commands.output import Failure, answer, say
from homeostat.write_control import TIMEOUT_S, steering
from streams import topics
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.codec import decode_json
from streams.events import Decided, Steering
from streams.partitioner import partition_of
from streams.ports import LogReader

POLL_S: Final = 0.05


class Signed(TypedDict):
    """What every record of a person carries."""

    id: str
    at: datetime
    model: str
    actor: str
    reason: str


def signed(model: str, reason: str, record_id: str | None = None) -> Signed:
    """The common fields of a record that the person at this terminal writes now."""
    return Signed(id=record_id or str(uuid4()), at=datetime.now(UTC), model=model, actor=person(), reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A record and the decisions on it; none: nobody decided in time. `seconds`: from the write to the decision's arrival here."""

    record: Steering
    decisions: tuple[Decided, ...]
    seconds: float

    def kinds(self) -> frozenset[str]:
        """What was decided."""
        return frozenset(decision.kind for decision in self.decisions)

    def why(self) -> str:
        """The decisions in words."""
        return "; ".join(f"{decision.kind}: {decision.why}" for decision in self.decisions)


def ask(settings: Settings, records: Sequence[Steering], wait_s: float) -> list[Answered]:
    """Write all records at once, and wait until each is decided on, at most so long. Raises LogUnavailable."""
    width = topics.named(topics.DECISIONS).partitions
    places = sorted({(topics.DECISIONS, partition_of(record.model.encode(), width)) for record in records})
    reader, writer = ConfluentReader(settings.bootstrap_servers), ConfluentWriter(settings.bootstrap_servers)
    try:
        reader.assign(reader.end_offsets(places))
        began = time.monotonic()
        writer.write(steering(*records), TIMEOUT_S)
        seen = _followed(reader, places, {record.id for record in records}, began, wait_s)
    finally:
        # Its end takes longer than the write: not before the decisions are waited for.
        writer.close(1.0)
        reader.close()
    return [Answered(record=record, decisions=tuple(seen[record.id][0]), seconds=seen[record.id][1]) for record in records]


def _followed(
    reader: LogReader, places: Sequence[tuple[str, int]], causes: set[str], began: float, wait_s: float
) -> dict[str, tuple[list[Decided], float]]:
    seen: dict[str, tuple[list[Decided], float]] = {cause: ([], 0.0) for cause in causes}
    limit = topics.named(topics.DECISIONS).max_record_bytes

    def read() -> None:
        for message in reader.poll(POLL_S, 500):
            decision = decode_json(message.value, Decided, limit)
            if decision.cause in seen:
                seen[decision.cause] = ([*seen[decision.cause][0], decision], time.monotonic() - began)

    while time.monotonic() < began + wait_s and not all(found for found, _ in seen.values()):
        read()
    # Those of one record are committed together: what was committed with the last one seen is read, too.
    ends = reader.end_offsets(places)
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and any(reader.position(place) < ends[place] for place in places):
        read()
    return seen


def conclude(settings: Settings, answered: Answered, wanted: Collection[str], asked: str, *, as_json: bool) -> None:
    """Say what was decided. Raises Failure unless a wanted decision is among them, or the same command acted before."""
    document = described(answered)
    if not answered.decisions:
        raise Failure(undecided(settings, f"{asked} is written"), document={**document, "done": False})
    if not done(answered, wanted):
        raise Failure(f"{asked}: {answered.why()}", document={**document, "done": False})
    if as_json:
        answer({**document, "done": True})
        return
    say(f"{asked} (record {answered.record.id})")
    for decision in answered.decisions:
        say(f"  {spoken(decision)}")


def spoken(decision: Decided) -> str:
    """A decision in one line."""
    about = [f"release {decision.release[:12]}" if decision.release else "", f"run {decision.run[:8]}" if decision.run else ""]
    tail = ", ".join(part for part in about if part)
    return f"{decision.kind}: {decision.why}" + (f" ({tail})" if tail else "")


def done(answered: Answered, wanted: Collection[str]) -> bool:
    """Whether what was asked for is decided: now, by the same command before, or by joining a run under way."""
    repeated = any(decision.kind == "Refused" and decision.why.startswith("repeated") for decision in answered.decisions)
    joined = any(decision.kind == "TrainingRefused" and decision.run for decision in answered.decisions)
    return bool(answered.kinds() & set(wanted)) or repeated or joined


def undecided(settings: Settings, what: str) -> str:
    """What to say when the controller does not answer."""
    return (
        f"{what}, but nothing was decided on it in time; it acts as soon as the controller is back. "
        f"See `homeostat status --data {settings.data}` and `homeostat logs control --data {settings.data}`."
    )


def described(answered: Answered) -> dict[str, Any]:
    """For a program."""
    return {
        "id": answered.record.id,
        "model": answered.record.model,
        "decided": bool(answered.decisions),
        "decisions": [decision_document(decision) for decision in answered.decisions],
    }


def decision_document(decision: Decided) -> dict[str, Any]:
    """A decision for a program."""
    return {
        "id": decision.id,
        "at": decision.at.isoformat(),
        "kind": decision.kind,
        "why": decision.why,
        "numbers": decision.numbers,
        "release": decision.release,
        "run": decision.run,
        "champion": decision.champion,
        "cause": decision.cause,
        "partition": decision.partition,
        "offset": decision.offset,
    }
