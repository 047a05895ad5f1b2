"""The data bugs of a model as the log tells them: decisions, with the records that caused them, in; incidents out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from streams.events import Control, Decided, QualityIncident, QuarantineRule

ABOUT_INCIDENTS: Final = frozenset({"IncidentOpened", "IncidentClosed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One data bug: which rows, since when, and how it ended."""

    rule: QuarantineRule
    opened: Decided | None
    """None: it was opened in a log that is gone."""
    closed: Decided | None = None

    @property
    def until(self) -> datetime | None:
        """When its rows end (by event time), or a person ended it; None: it is open."""
        return self.rule.until or (self.closed.at if self.closed else None)


def incidents(decided: Iterable[tuple[Decided, Control | None]], in_force: Iterable[QuarantineRule] = ()) -> tuple[Incident, ...]:
    """Every incident, oldest first. `in_force`: the rules of the route, which are open whatever is kept of the log."""
    found: dict[str, Incident] = {}
    for decision, read in decided:
        # After a restore the place of a cause may hold a record of the next log.
        record = read if read is not None and read.id == decision.cause else None
        if decision.kind == "IncidentOpened" and isinstance(record, QualityIncident):
            found[record.rule.incident] = Incident(rule=record.rule, opened=decision)
        elif decision.kind == "IncidentClosed" and decision.incident in found:
            known = found[decision.incident]
            # A feature that is called anew closes another incident than its record is about.
            said = record.rule if isinstance(record, QualityIncident) else known.rule
            rule = said if said.incident == decision.incident else known.rule
            found[decision.incident] = replace(known, rule=rule, closed=decision)
    for rule in in_force:
        found.setdefault(rule.incident, Incident(rule=rule, opened=None))
    return tuple(found.values())
