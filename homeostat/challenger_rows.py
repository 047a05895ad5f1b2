"""Outcomes joined with what was served: the rows that a challenger is tested on and learns, by the rules of a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Final

from streams.contract import Contract
from trainer.adapters.logged_rows import Key
from trainer.dataset import LoggedLabel, LoggedPrediction
from trainer.example import Example
from trainer.left_out import LeavingOut, fault

_WHOLE: Final = 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRows:
    """The labels of one model in one lake file."""

    partition: int
    first_offset: int
    end_offset: int
    labels: tuple[LoggedLabel, ...]

    @property
    def at(self) -> datetime:
        """When the newest of them became known."""
        return max(label.at for label in self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A prediction with what the champion said, in whichever arm's name it was answered. Value None: nothing, or too late."""

    prediction: LoggedPrediction
    champion: str
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedRow:
    """A row that may be learnt from. `file`: place of its label's file among those that were joined."""

    file: int
    example: Example
    champion: str
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """Good rows in the order in which they were predicted, and how many others there are, by reason."""

    rows: tuple[JoinedRow, ...]
    left_out: Mapping[str, int]
    unfound: int
    """Labels whose prediction is not in the lake."""


def joined(
    files: Sequence[LabelRows],
    served: Mapping[Key, Served],
    contract: Contract,
    leaving: LeavingOut,
    taught: AbstractSet[Key] = frozenset(),
) -> Joined:
    """Each row once, with the last of its labels; those `taught` before are passed over as repeated."""
    newest: dict[Key, tuple[int, LoggedLabel]] = {}
    left_out: Counter[str] = Counter()
    for place, file in enumerate(files):
        for label in file.labels:
            key = (label.epoch, label.seq)
            known = newest.get(key)
            left_out["repeated"] += known is not None
            if known is None or _order(known[1]) < _order(label):
                newest[key] = place, label
    rows: list[JoinedRow] = []
    unfound = 0
    for key, (place, label) in newest.items():
        if key in taught:
            left_out["repeated"] += 1
            continue
        one = served.get(key)
        if one is None:
            unfound += 1
            continue
        example = _example(one.prediction, label)
        reason = fault(contract, example, leaving)
        if reason:
            left_out[reason] += 1
        else:
            rows.append(JoinedRow(file=place, example=example, champion=one.champion, value=one.value))
    rows.sort(key=lambda row: (row.example.at, row.example.epoch, row.example.seq))
    return Joined(rows=tuple(rows), left_out=dict(sorted((+left_out).items())), unfound=unfound)


def is_drawn(key: Key, share: float) -> bool:
    """Whether a row is among the share that is scored: by its identity, so that every machine draws the same.

    >>> sum(is_drawn((7, seq), 0.25) for seq in range(10_000)) // 100
    24
    >>> is_drawn((7, 1), 1.0), is_drawn((7, 1), 0.0)
    (True, False)
    """
    if share >= 1.0:
        return True
    digest = blake2b(f"{key[0]}-{key[1]}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") < share * _WHOLE


def _example(row: LoggedPrediction, label: LoggedLabel) -> Example:
    return Example(
        epoch=row.epoch,
        seq=row.seq,
        at=row.at,
        features=row.features,
        label=label.label,
        quarantined=row.quarantined,
        flags=row.flags,
    )


def _order(label: LoggedLabel) -> tuple[datetime, int, int]:
    return label.at, label.partition, label.offset
