"""What schedules came to: which decisions were seen, and how often candidates of each worth got in.

An e-value reaches 1 / alpha under the null hypothesis with a probability of at most alpha (Ville 1939), whenever it is
looked at. So of the candidates that are truly a margin worse at most a share alpha may be proved no worse: too many show
evidence that counts twice, or a broken judge, though no single schedule breaks a rule.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from homeostat.chaos.history import History
from homeostat.chaos.plan import ALPHA, MARGIN
from streams.crash_points import COMMENTARY, DECISIVE
from streams.events import Decided

CONTROLS: Final = ("identical", "better")
"""Kinds of candidate of which some must get in, or the rules would hold because nothing happens."""
KINDS: Final = frozenset({*DECISIVE, *COMMENTARY})


@dataclass(slots=True)
class Tally:
    """Counts that add up over schedules."""

    schedules: int = 0
    records: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Decisions by kind."""
    tried: Counter[str] = field(default_factory=Counter)
    """Rollouts by the truth about the candidate: 'null' at least a margin worse than its champion, or its kind."""
    proved: Counter[str] = field(default_factory=Counter)
    """... of those, proved no worse in shadow."""
    promoted: Counter[str] = field(default_factory=Counter)

    def add(self, other: Tally) -> None:
        """Both together."""
        self.schedules += other.schedules
        self.records += other.records
        for mine, others in (
            (self.kinds, other.kinds), (self.tried, other.tried), (self.proved, other.proved), (self.promoted, other.promoted)
        ):  # fmt: skip
            mine.update(others)

    def most_allowed(self) -> float:
        """So many of the null candidates may be proved no worse: alpha of them, and four standard deviations for luck."""
        mean = ALPHA * self.tried["null"]
        return mean + 4.0 * math.sqrt(mean * (1.0 - ALPHA)) + 1.0

    def faults(self) -> list[str]:
        """What is wrong with all schedules together."""
        found = []
        for name, times in (("proved no worse", self.proved["null"]), ("promoted", self.promoted["null"])):
            if times > self.most_allowed():
                found.append(f"{times} of {self.tried['null']} candidates a margin worse were {name}; alpha is {ALPHA}")
        found += [f"no {kind} candidate of {self.tried[kind]} was promoted" for kind in CONTROLS if not self.promoted[kind]]
        return found


def missing_kinds(tally: Tally) -> list[str]:
    """Kinds of decision that were never made."""
    return sorted(KINDS - tally.kinds.keys())


def counted(history: History) -> Tally:
    """The counts of one schedule."""
    tally = Tally(schedules=1, records=sum(len(messages) for messages in history.control.values()))
    tally.kinds.update(decision.kind for decision in history.decisions)
    for decisions in history.model_decisions().values():
        _count_rollouts(history, decisions, tally)
    return tally


def _count_rollouts(history: History, decisions: list[Decided], tally: Tally) -> None:
    champion, worth, overridden = "", {}, set[str]()
    left: set[str] = set()
    for decision in decisions:
        champion = decision.champion or champion
        if decision.kind in ("ShadowStarted", "StepTaken") and decision.run not in worth:
            worth[decision.run] = _worth(history, decision.release, champion)
            tally.tried[worth[decision.run]] += 1
        if decision.kind in ("GateOverridden", "ShadowOverridden"):
            overridden.add(decision.run)
            overridden |= {one.run for one in decisions if one.offset == decision.offset and one.kind == "CandidateQueued"}
        elif decision.kind == "StepTaken" and decision.run not in left | overridden:
            left.add(decision.run)
            tally.proved[worth[decision.run]] += 1
        elif decision.kind == "Promoted":
            tally.promoted[worth[decision.run]] += 1


def _worth(history: History, release: str, champion: str) -> str:
    if history.releases.worse_by(release, champion) >= MARGIN - 1e-9 and not history.releases.truths[release].fails:
        return "null"
    return history.releases.truths[release].kind
