"""The newest row losses of a model: of champion and challenger from the challenger's file, or of the champion alone from the lake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.settings import Settings
from homeostat.challenger_ring import RING_ROWS, losses_in
from homeostat.challenger_state import UnusableState, path_of, read_state
from homeostat.served_rows import champion_said
from homeostat.timed_losses import NoRows, TimedLosses
from streams import topics
from streams.adapters.store import DirectoryStore
from streams.contract import TargetContract, loss_of
from streams.events import Scalar
from streams.policy import Policy
from streams.release import load_contract, load_release
from streams.topics import LABELS, PREDICTIONS
from trainer.adapters.lake_files import LakeFile, LakeFiles
from trainer.adapters.logged_rows import EPOCH, Key, keys_of

CACHE_BYTES: Final = 64 * 2**20
_LABEL: Final = msgspec.json.Decoder(Scalar)
MICROSECOND: Final = timedelta(microseconds=1)


def timed_losses(settings: Settings, model: str, champion: str, policy: Policy) -> TimedLosses:
    """What the staleness rule measures of this model, row by row. Raises NoRows; BlobMissing, BlobCorrupt of the champion."""
    faults = []
    if policy.challenger.enabled:
        try:
            return _of_challenger(settings, model, policy.challenger.share)
        except NoRows as none:
            faults.append(str(none))
    try:
        rows = _of_lake(settings, model, champion)
    except NoRows as none:
        raise NoRows("; ".join([*faults, str(none)])) from None
    return replace(rows, source=f"{rows.source} ({'; '.join(faults)})") if faults else rows


def _of_challenger(settings: Settings, model: str, share: float) -> TimedLosses:
    try:
        state = read_state(path_of(settings.root, model))
        rows = None if state is None else losses_in(state.ring)
    except (UnusableState, ValueError) as error:
        raise NoRows(f"the challenger's file cannot be used: {error}") from error
    if rows is None or not len(rows):
        raise NoRows("the challenger has scored no row yet")
    order = np.argsort(rows.at_us, kind="stable")
    return TimedLosses(
        source="losses of champion and challenger" + (f" on a sample of {share:.3g} of the labelled rows" if share < 1.0 else ""),
        share=share,
        at_us=rows.at_us[order],
        releases=tuple(rows.release[place] for place in order.tolist()),
        champion=rows.champion[order],
        challenger=rows.challenger[order],
    )


def _of_lake(settings: Settings, model: str, champion: str) -> TimedLosses:
    store = DirectoryStore(settings.store)
    contract = load_release(store, champion).contract
    target = load_contract(store, contract).target
    lake = LakeFiles(settings.lake, CACHE_BYTES)
    lake.look()
    labels = _newest_labels(lake, model)
    found = sorted(_scored(lake, model, contract, target, labels))
    if not found:
        raise NoRows("the lake has no labelled row of it yet")
    champions = np.array([lost for _, _, lost in found])
    return TimedLosses(
        source="losses of the champion alone",
        at_us=np.array([at for at, _, _ in found], dtype=np.int64),
        releases=tuple(release for _, release, _ in found),
        champion=champions,
        challenger=np.zeros_like(champions),
    )


def _newest_labels(lake: LakeFiles, model: str) -> dict[Key, tuple[int, Scalar]]:
    """By identity: when the prediction was made, and the label; of a row labelled twice the one reported last."""
    labels: dict[Key, tuple[int, Scalar]] = {}
    reported: dict[Key, int] = {}
    for _, file in _newest_first(lake, LABELS):
        if len(labels) >= RING_ROWS:
            break
        rows = _mine(lake.table(file), model)
        columns = (_times(rows, "at"), _times(rows, "predicted_at"), rows["label"].to_pylist())
        for key, at, made, label in zip(keys_of(rows), *columns, strict=True):
            if reported.get(key, -1) < at:
                reported[key] = at
                labels[key] = (made, _LABEL.decode(label))
    newest = sorted(labels.items(), key=lambda each: (each[1][0], each[0]))[-RING_ROWS:]
    return dict(newest)


def _scored(
    lake: LakeFiles, model: str, contract: str, target: TargetContract, labels: dict[Key, tuple[int, Scalar]]
) -> Iterator[tuple[int, str, float]]:
    """When each row was predicted, by which champion, and what that one lost."""
    wanted = dict(labels)
    oldest = min((made for made, _ in labels.values()), default=0)
    for newest, file in _newest_first(lake, PREDICTIONS):
        if not wanted or newest < oldest:
            return
        rows = _mine(lake.table(file), model)
        rows = rows.filter(pc.equal(rows["contract"], contract))
        for key, text in zip(keys_of(rows), rows["outputs"].to_pylist(), strict=True):
            if key not in wanted:
                continue
            made, label = wanted.pop(key)
            release, value = champion_said(text)
            if value is None:
                continue
            try:
                yield made, release, loss_of(target, value, label)
            except ValueError:
                continue  # a label outside the contract counts for nothing anywhere


def _newest_first(lake: LakeFiles, topic: str) -> list[tuple[int, LakeFile]]:
    """Files, with the time (microseconds) of the newest prediction that each speaks of."""
    files = [file for number in range(topics.named(topic).partitions) for file in lake.listed(topic, number)]
    return [((newest - EPOCH) // MICROSECOND, file) for newest, file in lake.newest_first(files)]


def _mine(table: pa.Table, model: str) -> pa.Table:
    """Rows of the model that are in no quarantine; null stands for no quarantine in old files."""
    held = pc.fill_null(table["quarantined"], False)
    return table.filter(pc.and_(pc.equal(table["model"], model), pc.invert(held)))


def _times(table: pa.Table, name: str) -> list[Any]:
    microseconds: list[Any] = table[name].cast(pa.int64()).to_pylist()
    return microseconds
