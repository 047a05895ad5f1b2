"""Is it the world that changed, or the feed that broke? Incidents of data bugs, opened and closed, feature by feature.

`fold(state, window, ...)` looks at all predictions of a window, those in quarantine too, against the champion's reference
(`spoilt_rows`). A bug becomes an incident; what is genuine change goes on to the drift detectors. Rules:

- At most one incident of a feature is open. While it is, nothing else is looked for in that feature, and its drift detector rests.
- It closes when its feed is well (`incidents`). The feature may then open another.
- Windows go on to bring rows that match and carry no mark, until serving has the rule. Their time is left out of the losses,
  as is the time from the first spoilt row to the opening.
- A new champion ends no incident: its rule stands until the feed is well. Everything else is looked at anew, by its reference.
- A feature that a person accepted is not looked at under the releases that served by then: they know nothing of the change.
- An incident that a person released is forgotten, and its feature rests for PAUSE_ROWS.

Bounds: one incident, one pause and one list of CHAMPIONS releases for each feature of the contract, and of trails (hypotheses
that something speaks for) MOST_STUCK bins and three for each factor.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from drift import incidents, spoilt_rows
from drift.incidents import Call, Incident
from drift.spoilt_rows import Counted, Grounds, Trail
from streams.contract import NUMBER, Contract, FeatureContract
from streams.events import FeatureCounts, WindowCounted
from streams.policy import Policy
from streams.profile import Profile
from streams.topics import PREDICTIONS

PAUSE_ROWS: Final = 1_000
"""Rest of a feature whose incident a person ended: five times what closes one. A feed that is about to be mended is not called
again meanwhile, and who sees it called again knows that it was not."""
CHAMPIONS: Final = 64
"""Releases remembered as having served."""
_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Value = TypeVar("_Value")


class Triage(msgspec.Struct, frozen=True, kw_only=True):
    """What the triage of one model knows. `release`: whose reference it looks by ('': none yet)."""

    release: str = ""
    contract: str = ""
    features: tuple[FeatureContract, ...] = ()
    grounds: dict[str, Grounds] = {}
    trails: dict[str, tuple[Trail, ...]] = {}
    newest: datetime | None = None
    """Largest event time of a prediction so far."""
    incidents: dict[str, Incident] = {}
    """By feature."""
    paused: dict[str, int] = {}
    """By feature, rows left."""
    champions: tuple[str, ...] = ()
    accepted: dict[str, tuple[str, ...]] = {}
    """By feature, the releases under which it is not looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one window made of it. `left_out`: stretches of event time in which spoilt rows carry no mark."""

    calls: tuple[Call, ...] = ()
    left_out: tuple[tuple[datetime, datetime], ...] = ()


def fitted(triage: Triage, *, release: str, profile: Profile, contract: Contract, policy: Policy) -> Triage:
    """Look by another reference from here on."""
    profiles = {one.feature: one for one in profile.features}
    watched = (one for one in contract.features if one.name in profiles and _is_logged(one, policy))
    return msgspec.structs.replace(
        triage,
        release=release,
        contract=profile.contract,
        features=contract.features,
        grounds={one.name: spoilt_rows.grounds(one, profiles[one.name]) for one in watched},
        trails={},
        champions=(*(one for one in triage.champions if one != release), release)[-CHAMPIONS:],
    )


def told(triage: Triage, *, accepted: Collection[str], released: Collection[str]) -> Triage:
    """Hear what people said: changes accepted, and incidents ended. Their incidents are gone without a word of ours."""
    known = {feature.name for feature in triage.features}
    ended = {name for name, one in triage.incidents.items() if one.rule.incident in released}
    gone = ended | set(accepted)
    return msgspec.structs.replace(
        triage,
        incidents=_without(triage.incidents, gone),
        trails=_without(triage.trails, gone),
        paused={**triage.paused, **dict.fromkeys(sorted(ended), PAUSE_ROWS)},
        accepted={**triage.accepted, **{name: triage.champions for name in sorted(accepted) if name in known}},
    )


def fold(triage: Triage, window: WindowCounted, *, enabled: bool) -> tuple[Triage, Seen]:
    """Look at the predictions of one window."""
    if window.topic != PREDICTIONS:
        return triage, Seen()
    now = msgspec.structs.replace(triage, newest=max(triage.newest or window.at, window.at))
    names = {feature.name for feature in now.features}
    over = {name: "its feature is no longer served" for name in now.incidents if name not in names}
    hidden = (name for name in now.incidents if name in names and name not in now.grounds)
    over |= dict.fromkeys(hidden, "its feature is no longer logged as it comes")
    if not enabled:
        over = dict.fromkeys(now.incidents, "the policy wants no quarantine")
        now = msgspec.structs.replace(now, trails={}, paused={})
    calls = [incidents.closed(now.incidents[name], window.at, why) for name, why in over.items()]
    now = msgspec.structs.replace(now, incidents=_without(now.incidents, over))
    left_out: list[tuple[datetime, datetime]] = []
    since = _since(triage, window)
    unmarked = _counted(triage.contract, window.features, since)
    all_rows = _counted(triage.contract, (*window.features, *window.quarantined), since) if window.quarantined else unmarked
    for feature in now.features if enabled else ():
        counted = all_rows.get(feature.name)
        if counted is not None and counted.rows:
            now, seen = _looked(now, feature, counted, unmarked.get(feature.name), window)
            calls += seen.calls
            left_out += seen.left_out
    return now, Seen(calls=tuple(calls), left_out=tuple(left_out))


def _is_logged(feature: FeatureContract, policy: Policy) -> bool:
    """Windows count what is logged, a reference what was trained on: a hidden value has no place of its own."""
    mode = policy.log.get(feature.name, "keep")
    return mode == "keep" or (mode == "bin" and feature.kind == NUMBER)


def _looked(
    triage: Triage, feature: FeatureContract, counted: Counted, unmarked: Counted | None, window: WindowCounted
) -> tuple[Triage, Seen]:
    name = feature.name
    if name in triage.incidents:
        return _watched(triage, feature, counted, unmarked, window)
    if name in triage.paused:
        left = triage.paused[name] - counted.rows
        paused = {**triage.paused, name: left} if left > 0 else _without(triage.paused, (name,))
        return msgspec.structs.replace(triage, paused=paused), Seen()
    known = triage.grounds.get(name)
    if known is None or triage.release in triage.accepted.get(name, ()):
        return triage, Seen()
    known = spoilt_rows.acquainted(known, counted)
    triage = msgspec.structs.replace(triage, grounds={**triage.grounds, name: known})
    trails, proved = spoilt_rows.advance(known, triage.trails.get(name, ()), counted, feature)
    others = _without(triage.trails, (name,))
    if proved is None:
        return msgspec.structs.replace(triage, trails={**others, name: trails} if trails else others), Seen()
    incident, call = incidents.opened(known, feature, proved, window)
    now = msgspec.structs.replace(triage, trails=others, incidents={**triage.incidents, name: incident})
    return now, Seen(calls=(call,), left_out=((incident.rule.since, window.at),))


def _watched(
    triage: Triage, feature: FeatureContract, counted: Counted, unmarked: Counted | None, window: WindowCounted
) -> tuple[Triage, Seen]:
    """An open incident: is its feed well again, and which rows came before serving had the rule?"""
    one = incidents.advance(triage.incidents[feature.name], counted, feature)
    left_out: tuple[tuple[datetime, datetime], ...] = ()
    if unmarked is not None and incidents.matching(one.rule, feature, unmarked.bins, unmarked.missing):
        left_out = ((min(one.unmarked, counted.since), window.at),)
        one = msgspec.structs.replace(one, unmarked=max(one.unmarked, window.at))
    if not one.is_over:
        now = msgspec.structs.replace(triage, incidents={**triage.incidents, feature.name: one})
        return now, Seen(left_out=left_out)
    call = incidents.closed(one, window.at, f"well again, {one.hits} of the last {one.rows} rows match")
    now = msgspec.structs.replace(triage, incidents=_without(triage.incidents, (feature.name,)))
    return now, Seen(calls=(call,), left_out=left_out)


def _counted(contract: str, columns: Iterable[FeatureCounts], since: datetime) -> dict[str, Counted]:
    """By feature, what the columns of that contract count together."""
    bins: dict[str, dict[int, int]] = {}
    missing: dict[str, int] = {}
    invalid: dict[str, int] = {}
    for one in columns:
        if one.contract == contract:
            own = bins.setdefault(one.feature, {})
            for place, count in one.bins.items():
                own[place] = own.get(place, 0) + count
            missing[one.feature] = missing.get(one.feature, 0) + one.missing
            invalid[one.feature] = invalid.get(one.feature, 0) + one.invalid
    return {name: Counted(bins=own, missing=missing[name], invalid=invalid[name], since=since) for name, own in bins.items()}


def _since(triage: Triage, window: WindowCounted) -> datetime:
    """From when on a window's rows may be: after the newest row before it, or, where partitions lag, from its earliest minute."""
    began = [triage.newest] if triage.newest is not None else []
    began += [_EPOCH + min(made.minute for made in window.made) * _MINUTE] if window.made else []
    return min(began, default=window.at)


def _without(mapping: Mapping[str, _Value], names: Collection[str]) -> dict[str, _Value]:
    return {name: value for name, value in mapping.items() if name not in names}
