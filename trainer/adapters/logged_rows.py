"""From the lake's columns to the rows that a dataset is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec
import pyarrow as pa

from streams.events import Scalar
from trainer.dataset import LoggedLabel, LoggedPrediction

Key: TypeAlias = tuple[int, int]
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
NO_FLAGS: Final = "[]"


def predictions_of(tables: Sequence[tuple[int, pa.Table]], wanted: AbstractSet[Key]) -> list[LoggedPrediction]:
    """The predictions of those identities, from (partition, table) in the lake's form."""
    return [
        LoggedPrediction(
            epoch=epoch,
            seq=seq,
            at=at,
            partition=partition,
            offset=offset,
            features=features,
            quarantined=bool(quarantined),
            flags=flags,
        )
        for (epoch, seq), partition, at, offset, (features, quarantined, flags) in _chosen(tables, wanted, _served)
    ]


def labels_of(tables: Sequence[tuple[int, pa.Table]], wanted: AbstractSet[Key]) -> list[LoggedLabel]:
    """The labels of those identities, from (partition, table) in the lake's form."""
    return [
        LoggedLabel(epoch=epoch, seq=seq, at=at, partition=partition, offset=offset, label=label)
        for (epoch, seq), partition, at, offset, label in _chosen(tables, wanted, _labels)
    ]


def keys_of(table: pa.Table) -> list[Key]:
    """The rows' identities."""
    return list(zip(table["epoch"].to_pylist(), table["seq"].to_pylist(), strict=True))


def _chosen(
    tables: Sequence[tuple[int, pa.Table]], wanted: AbstractSet[Key], content: Any
) -> Iterator[tuple[Key, int, Any, int, Any]]:
    if not tables:
        return iter(())
    whole = pa.concat_tables([table for _, table in tables])
    partitions = [partition for partition, table in tables for _ in range(table.num_rows)]
    keys = keys_of(whole)
    chosen = [key in wanted for key in keys]
    rows = whole.filter(pa.array(chosen, type=pa.bool_())).combine_chunks()
    # By hand: Arrow makes each time zone anew, which takes ten times as long.
    times = (EPOCH + timedelta(microseconds=us) for us in rows["at"].cast(pa.int64()).to_pylist())
    return zip(
        itertools.compress(keys, chosen),
        itertools.compress(partitions, chosen),
        times,
        rows["offset"].to_pylist(),
        content(rows),
        strict=True,
    )


def _served(table: pa.Table) -> Iterator[tuple[dict[str, Scalar], bool | None, tuple[str, ...]]]:
    return zip(_features(table), table["quarantined"].to_pylist(), _flags(table), strict=True)


def _flags(table: pa.Table) -> list[tuple[str, ...]]:
    decode = msgspec.json.Decoder(tuple[str, ...]).decode
    # Null where the lake is older than the column.
    return [decode(text) if text and text != NO_FLAGS else () for text in table["flags"].to_pylist()]


def _features(table: pa.Table) -> list[dict[str, Scalar]]:
    """Both maps of each row in one dict; a missing value is in neither."""
    rows: list[dict[str, Scalar]] = [{} for _ in range(table.num_rows)]
    for name in ("numbers", "texts"):
        start = 0
        for chunk in table[name].chunks:
            # Flat lists and offsets: a list of pairs for each row takes several times as long.
            offsets = chunk.offsets.to_pylist()
            keys, values = chunk.keys.to_pylist(), chunk.items.to_pylist()
            for place in range(len(chunk)):
                first, end = offsets[place], offsets[place + 1]
                rows[start + place].update(zip(keys[first:end], values[first:end], strict=True))
            start += len(chunk)
    return rows


def _labels(table: pa.Table) -> list[Scalar]:
    decode = msgspec.json.Decoder(Scalar).decode
    return [decode(text) for text in table["label"].to_pylist()]
