"""The dataset of a run: the newest labelled rows of a model as of a time, chosen and ordered the same way whenever it is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final, Protocol

import msgspec

from streams.contract import Contract, class_name
from streams.events import Scalar
from streams.policy import TrainingPolicy
from trainer.example import Example
from trainer.left_out import NO_RULES, LeavingOut, fault
from trainer.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedPrediction:
    """A row as it was served. (epoch, seq) is its identity; partition and offset say which of two copies came first."""

    epoch: int
    seq: int
    at: datetime
    partition: int
    offset: int
    features: Mapping[str, Scalar]
    quarantined: bool = False
    flags: tuple[str, ...] = ()
    """Why it was flagged, each 'feature:kind'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedLabel:
    """An outcome as it was reported; `at` is when it became known."""

    epoch: int
    seq: int
    at: datetime
    partition: int
    offset: int
    label: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedRows:
    """What a source found. `covers`: 'topic-partition' to the end offset it looked up to."""

    predictions: Sequence[LoggedPrediction]
    labels: Sequence[LoggedLabel]
    covers: Mapping[str, int]


class RowSource(Protocol):
    """The log of predictions and labels, wherever it is kept."""

    def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
        """At least the newest `labelled_rows` rows that are in no quarantine, made and labelled up to `as_of` (all, if there are
        fewer), and the others of that time; more may come along.

        Raises SourceBehind, LogUnavailable, PositionLost.
        """


class SourceBehind(Exception):
    """The rows cannot be read yet: infrastructure, so that the attempt may be repeated."""


FILTERS: Final = (
    "predicted and labelled up to as_of",
    "one row per (epoch, seq): its first copy, its last label by (at, offset)",
    "keeps the contract",
    "newest first until the window is full",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A window of rows in time order: [0, live_from) from the registration, [holdout_from, …) kept for the gate."""

    table: Table
    live_from: int
    holdout_from: int
    left_out: Mapping[str, int]
    """Rows passed over on the way, by reason: 'feature:kind' of a contract violation or quarantine rule, or 'label'."""
    covers: Mapping[str, int]
    filters: tuple[str, ...] = FILTERS


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored dataset is: which rows, from where, chosen how. `data` is the digest of its Parquet file."""

    model: str
    contract: str
    data: str
    as_of: datetime | None
    rows: int
    registration_rows: int
    """Rows of the model's registration that fill the window while there are too few live ones."""
    holdout_rows: int
    first_at: datetime | None
    last_at: datetime | None
    columns: tuple[str, ...]
    target: str
    filters: tuple[str, ...]
    left_out: dict[str, int]
    covers: dict[str, int]
    schema: int = 1


def sought_rows(policy: TrainingPolicy) -> int:
    """How many labelled rows to ask a source for: some that break the contract may be passed over."""
    return policy.window_rows + policy.window_rows // 4


def join(rows: LoggedRows, as_of: datetime) -> list[Example]:
    """Labelled rows in event-time order. A row labelled again has the last label; which one that is does not depend on the reading."""
    labels: dict[tuple[int, int], LoggedLabel] = {}
    for label in rows.labels:
        if label.at <= as_of:
            known = labels.get((label.epoch, label.seq))
            if known is None or _order(known) < _order(label):
                labels[label.epoch, label.seq] = label
    first: dict[tuple[int, int], LoggedPrediction] = {}
    for row in rows.predictions:
        key = (row.epoch, row.seq)
        if row.at <= as_of and key in labels:
            copy = first.get(key)
            if copy is None or (row.partition, row.offset) < (copy.partition, copy.offset):
                first[key] = row
    found = [
        Example(
            epoch=row.epoch,
            seq=row.seq,
            at=row.at,
            features=row.features,
            label=labels[key].label,
            quarantined=row.quarantined,
            flags=row.flags,
        )
        for key, row in first.items()
    ]
    return sorted(found, key=lambda example: (example.at, example.epoch, example.seq))


def assemble(
    *,
    contract: Contract,
    rows: LoggedRows,
    registration: Table | None,
    policy: TrainingPolicy,
    as_of: datetime,
    leaving: LeavingOut = NO_RULES,
) -> Dataset:
    """The window of a run: the newest `window_rows` rows that may be learnt from, filled up with the registration's newest."""
    chosen, left_out = _newest_good(contract, join(rows, as_of), policy.window_rows, leaving)
    wanted = policy.window_rows - len(chosen)
    filling = registration.part(max(registration.rows - wanted, 0), registration.rows) if registration and wanted > 0 else None
    table = _table(contract, filling, chosen)
    return Dataset(
        table=table,
        live_from=table.rows - len(chosen),
        holdout_from=max(table.rows - policy.holdout_rows, 0),
        left_out=dict(sorted(left_out.items())),
        covers=dict(sorted(rows.covers.items())),
        filters=(*FILTERS, *leaving.filters()),
    )


def manifest(*, contract: Contract, contract_digest: str, dataset: Dataset, data: str, as_of: datetime | None) -> Manifest:
    """The description that is stored beside a dataset's rows."""
    table = dataset.table
    known = [at for at in table.at if at is not None]
    return Manifest(
        model=contract.model,
        contract=contract_digest,
        data=data,
        as_of=as_of,
        rows=table.rows,
        registration_rows=dataset.live_from,
        holdout_rows=table.rows - dataset.holdout_from,
        first_at=known[0] if known else None,
        last_at=known[-1] if known else None,
        columns=tuple(feature.name for feature in contract.features),
        target=contract.target.name,
        filters=dataset.filters,
        left_out=dict(dataset.left_out),
        covers=dict(dataset.covers),
    )


def _order(label: LoggedLabel) -> tuple[datetime, int, int]:
    return label.at, label.partition, label.offset


def _newest_good(
    contract: Contract, examples: Sequence[Example], limit: int, leaving: LeavingOut
) -> tuple[list[Example], Counter[str]]:
    chosen: list[Example] = []
    left_out: Counter[str] = Counter()
    for example in reversed(examples):
        if len(chosen) == limit:
            break
        reason = fault(contract, example, leaving)
        if reason:
            left_out[reason] += 1
        else:
            chosen.append(example)
    chosen.reverse()
    return chosen, left_out


def _table(contract: Contract, filling: Table | None, chosen: Sequence[Example]) -> Table:
    columns = {
        feature.name: tuple(
            chain(filling.columns[feature.name] if filling else (), (e.features.get(feature.name) for e in chosen))
        )
        for feature in contract.features
    }
    classes = contract.target.task == "classification"
    labels = (class_name(example.label) if classes else example.label for example in chosen)
    return Table(
        columns=columns,
        target=tuple(chain(filling.target if filling else (), labels)),
        at=tuple(chain(filling.at if filling else (), (example.at for example in chosen))),
    )
