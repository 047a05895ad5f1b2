"""The incidents of a model, as lists of rules: what opens, ends and forgets one. The controller and whoever reads beside it share it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from homeostat.model_state import ACCEPTED_LIMIT, INCIDENTS_LIMIT
from streams.events import QuarantineRule
from streams.quarantine import ended

Rules = tuple[QuarantineRule, ...]


def opened(incidents: Rules, rule: QuarantineRule) -> Rules:
    """With a new incident, the newest last. Others of its feature end where it begins.

    The oldest closed ones are forgotten first. Rows that came before they were called carry no mark, and are then learnt from.
    """
    rules = (*(ended(one, rule.since) if one.feature == rule.feature else one for one in incidents), rule)
    excess = max(len(rules) - INCIDENTS_LIMIT, 0)
    forgotten = [one.incident for one in rules if one.until is not None][:excess]
    return tuple(one for one in rules if one.incident not in forgotten)


def closed(incidents: Rules, incident: str, until: datetime) -> Rules:
    """With that incident ended, if it is open.

    >>> since, noon = datetime(2024, 1, 1), datetime(2024, 1, 1, 12)
    >>> open_one = QuarantineRule(incident="i", feature="x", kind="missing", since=since)
    >>> once = closed((open_one,), "i", noon)
    >>> once[0].until == noon, closed(once, "i", since) == once
    (True, True)
    """
    return tuple(
        msgspec.structs.replace(one, until=until) if one.incident == incident and one.until is None else one for one in incidents
    )


def without_feature(incidents: Rules, feature: str) -> Rules:
    """Without any of a feature that really changed."""
    return tuple(one for one in incidents if one.feature != feature)


def without(incidents: Rules, incident: str) -> Rules:
    """Without one that a person ended."""
    return tuple(one for one in incidents if one.incident != incident)


def with_accepted(accepted: tuple[str, ...], feature: str) -> tuple[str, ...]:
    """With a feature that really changed, the newest last."""
    return (*(name for name in accepted if name != feature), feature)[-ACCEPTED_LIMIT:]


def with_released(released: Rules, rule: QuarantineRule, until: datetime) -> Rules:
    """With an incident that a person ended, up to that event time."""
    return (*released, ended(rule, until))[-INCIDENTS_LIMIT:]
