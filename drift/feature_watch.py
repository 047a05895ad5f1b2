"""The drift detectors of the release that serves: burn-in on live rows, then armed, one alarm per stream and release."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from drift.detectors.cusum_bank import Alarm, Off, State, Table, advance, fit, ratio, start
from drift.evidence import CHAMPION
from streams.contract import NUMBER, Contract
from streams.events import QuarantineRule, WindowCounted
from streams.policy import DriftPolicy
from streams.profile import FeatureProfile, Profile

PREDICTION: Final = "prediction"
"""Name of the stream of the champion's own outputs."""


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Detectors fitted to one release."""

    release: str
    cause: str
    """What this fit derives from: ids of its signals derive from it."""
    contract: str
    tables: tuple[Table, ...]
    off: tuple[str, ...]
    burn_in_rows: int
    rows: int = 0
    """Live rows seen under the release's contract."""
    states: dict[str, State] = {}
    """By stream, once armed; a stream that has alarmed is gone from here."""
    armed: bool = False
    alarmed: dict[str, datetime] = {}
    """By stream, when it did."""
    rearmed: dict[str, str] = {}
    """By stream, the incident of which its last alarm turned out to be a part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What one window made of it."""

    armed: bool = False
    """The burn-in ended with this window."""
    alarms: tuple[tuple[str, Alarm], ...] = ()


def fitted(*, release: str, cause: str, profile: Profile, contract: Contract, policy: DriftPolicy) -> Watch:
    """Detectors of every feature and of the prediction, at the declared rate for all of them together."""
    ordered = {feature.name: feature.kind == NUMBER for feature in contract.features}
    outputs = FeatureProfile(feature=PREDICTION, bins=profile.outputs, missing=0, design_effect=profile.output_design_effect)
    streams = len(profile.features) + 1
    found = [
        fit(feature, ordered=ordered[feature.feature], rows=profile.rows, policy=policy, streams=streams)
        for feature in profile.features
    ]
    if profile.outputs:
        regression = contract.target.task == "regression"
        found.append(fit(outputs, ordered=regression, rows=profile.rows, policy=policy, streams=streams))
    return Watch(
        release=release,
        cause=cause,
        contract=profile.contract,
        tables=tuple(one for one in found if isinstance(one, Table)),
        off=tuple(f"{one.name}: needs {one.rows_needed} rows" for one in found if isinstance(one, Off)),
        burn_in_rows=policy.burn_in_rows,
    )


def rested(watch: Watch, rule: QuarantineRule, at: datetime) -> Watch:
    """An incident of a feature opens or closes: its stream, and that of the predictions, begin again from nothing.

    A stream that alarmed after the first spoilt row saw the bug and no drift: it is watched again.
    """
    if not watch.armed:
        return watch
    states, alarmed, rearmed = dict(watch.states), dict(watch.alarmed), dict(watch.rearmed)
    for table in watch.tables:
        if table.name not in (rule.feature, PREDICTION):
            continue
        if table.name not in states and table.name in alarmed and alarmed[table.name] > rule.since:
            del alarmed[table.name]
            rearmed[table.name] = rule.incident
        elif table.name not in states:
            continue
        states[table.name] = start(table, at)
    return msgspec.structs.replace(watch, states=states, alarmed=alarmed, rearmed=rearmed)


def look(watch: Watch, window: WindowCounted, *, resting: Collection[str] = ()) -> tuple[Watch, Signals]:
    """Fold the features and predictions of one window; counts under another contract say nothing about this release.

    Features with an open incident rest, and with them the predictions: which rows are left depends on the bug.
    """
    counted = {one.feature: one for one in window.features if one.contract == watch.contract}
    if not counted:
        return watch, Signals()
    rows = watch.rows + window.rows - window.quarantined_rows
    if not watch.armed:
        if rows < watch.burn_in_rows:
            return msgspec.structs.replace(watch, rows=rows), Signals()
        states = {table.name: start(table, window.at) for table in watch.tables}
        return msgspec.structs.replace(watch, rows=rows, armed=True, states=states), Signals(armed=True)
    states, alarms = dict(watch.states), []
    for table in watch.tables:
        if table.name not in states or table.name in resting or (table.name == PREDICTION and resting):
            continue
        if table.name == PREDICTION:
            bins, missing = _outputs(window, watch.release), 0
        elif table.name in counted:
            bins, missing = counted[table.name].bins, counted[table.name].missing + counted[table.name].invalid
        else:
            continue
        states[table.name], alarm = advance(table, states[table.name], bins, missing=missing, at=window.at)
        if alarm is not None:
            alarms.append((table.name, alarm))
            del states[table.name]
    alarmed = {**watch.alarmed, **{name: window.at for name, _ in alarms}}
    return msgspec.structs.replace(watch, rows=rows, states=states, alarmed=alarmed), Signals(alarms=tuple(alarms))


def ratios(watch: Watch) -> dict[str, float]:
    """Per live stream, its statistic over its threshold (1 alarms)."""
    return {table.name: ratio(table, watch.states[table.name]) for table in watch.tables if table.name in watch.states}


def _outputs(window: WindowCounted, release: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for served in window.served:
        if served.arm == CHAMPION and served.release == release:
            for bin_, rows in served.outputs.items():
                counts[bin_] = counts.get(bin_, 0) + rows
    return counts
