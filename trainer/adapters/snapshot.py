"""Datasets as Parquet bytes: equal rows give equal bytes, so that the digest of the file is a digest of the rows."""

from __future__ import annotations

import io
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from streams.contract import BOOLEAN, CATEGORY, Contract, FeatureContract
from streams.events import Scalar
from trainer.table import Table

AT: Final = "homeostat.at"
TARGET: Final = "homeostat.target"
_TIME: Final = pa.timestamp("us", tz="UTC")


def to_parquet(table: Table, contract: Contract) -> bytes:
    """The rows of a table, in its order. Values that are not of the contract's kind are missing."""
    classes = contract.target.task == "classification"
    arrays = {AT: pa.array(list(table.at), type=_TIME)}
    for feature in contract.features:
        arrays[feature.name] = pa.array([_kept(feature, value) for value in table.columns[feature.name]], type=_type(feature))
    arrays[TARGET] = pa.array(list(table.target), type=pa.string() if classes else pa.float64())
    sink = io.BytesIO()
    pq.write_table(pa.table(arrays), sink, compression="zstd", write_statistics=False)
    return sink.getvalue()


def from_parquet(data: bytes, contract: Contract) -> Table:
    """The table that `to_parquet` was given. Raises ValueError on rows of another contract."""
    read = pq.read_table(io.BytesIO(data))
    wanted = [AT, *(feature.name for feature in contract.features), TARGET]
    if read.column_names != wanted:
        raise ValueError(f"the dataset has the columns {read.column_names}, its contract {wanted}.")
    return Table(
        columns={feature.name: tuple(read.column(feature.name).to_pylist()) for feature in contract.features},
        target=tuple(read.column(TARGET).to_pylist()),
        at=tuple(read.column(AT).to_pylist()),
    )


def _type(feature: FeatureContract) -> Any:
    if feature.kind == CATEGORY:
        return pa.string()
    return pa.bool_() if feature.kind == BOOLEAN else pa.float64()


def _kept(feature: FeatureContract, value: Scalar) -> Scalar:
    if value is None:
        return None
    if feature.kind == CATEGORY:
        return value if isinstance(value, str) else None
    if feature.kind == BOOLEAN:
        return bool(value) if isinstance(value, bool) or value in (0, 1) else None
    return None if isinstance(value, (str, bool)) else float(value)
