"""A model as its decisions tell it: who served when, what is open, which runs there were. Decisions in, view out.

Pure, and of nothing but the log: it holds as well while every role is down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from streams.events import Decided

_CHANGES_CHAMPION: Final = frozenset({"Registered", "Promoted", "RolledBack", "Restored"})
_SETS_POLICY: Final = frozenset({"Registered", "PolicyChanged", "Restored"})
_ENDS_QUESTION: Final = frozenset({"Approved", "StepTaken", "Promoted", "RolledBack", "CandidateRejected"})
"""Whether the candidate of their run may answer."""
_ENDS_QUESTION_OF_TRAINING: Final = frozenset({"Approved", "RecallStarted", "TrainingStarted", "TrainingRetried"})
_RUN_STATES: Final = {
    "RecallStarted": "recalling",
    "TrainingStarted": "training",
    "TrainingRetried": "training again",
    "Recalled": "recalled",
    "ChallengerFrozen": "challenger frozen",
    "TrainingEnded": "ended",
    "CandidateOffered": "offered",
    "CandidateQueued": "waits",
    "ShadowStarted": "in shadow",
    "StepTaken": "answers a share",
    "Promoted": "serves, watched",
    "BakeEnded": "serves",
    "RolledBack": "taken back",
    "CandidateRejected": "rejected",
}
_RUN_OVER: Final = frozenset({"TrainingEnded", "BakeEnded", "RolledBack", "CandidateRejected"})
"""Of a run whose state is from one of these nothing goes on by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A stretch in which one release served. `until` None: it serves. `decision` put it there."""

    release: str
    since: datetime
    until: datetime | None
    decision: Decided


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A training, a recall, or an offer by hand, and what came of its candidate. `decisions` are all that name it, oldest first."""

    run: str
    model: str
    state: str
    attempts: int
    release: str
    """Its candidate; '' while, or if, there is none."""
    decisions: tuple[Decided, ...]

    @property
    def since(self) -> datetime:
        """When it was first spoken of."""
        return self.decisions[0].at

    @property
    def latest(self) -> Decided:
        """The decision that its state is from."""
        return next(decision for decision in reversed(self.decisions) if decision.kind in _RUN_STATES)

    @property
    def over(self) -> bool:
        """Whether it goes on no more, unless a person takes its candidate up again."""
        return self.latest.kind in _RUN_OVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """What the decisions on one model come to."""

    served: tuple[Served, ...]
    paused: Decided | None
    """The decision that holds it; None: it steers itself."""
    questions: tuple[Decided, ...]
    """`ApprovalWanted` that nobody has answered and nothing has settled."""
    policy: Decided | None
    """The decision whose record holds the policy in force."""
    runs: tuple[Run, ...]
    """Oldest first."""
    releases: dict[str, str]
    """Every release that was spoken of, with the last thing decided on it."""

    @property
    def last_heal(self) -> Served | None:
        """The last time that another release took over."""
        return self.served[-1] if len(self.served) > 1 else None


def model_view(decisions: Sequence[Decided]) -> ModelView:
    """Fold the decisions on one model, oldest first."""
    paused = policy = None
    questions: list[Decided] = []
    releases: dict[str, str] = {}
    for decision in decisions:
        if decision.kind == "Paused":
            paused = decision
        elif decision.kind == "Resumed":
            paused = None
        if decision.kind in _SETS_POLICY:
            policy = decision
        questions = [question for question in questions if not _settles(decision, question)]
        if decision.kind == "ApprovalWanted":
            questions.append(decision)
        if decision.release and decision.kind not in {"EvidenceNoted", "StalenessMeasured", "Refused"}:
            releases[decision.release] = decision.kind
    return ModelView(
        served=tuple(_served(decisions)),
        paused=paused,
        questions=tuple(questions),
        policy=policy,
        runs=tuple(_runs(decisions)),
        releases=releases,
    )


def _settles(decision: Decided, question: Decided) -> bool:
    if not question.run:  # it asks for a training
        return decision.kind in _ENDS_QUESTION_OF_TRAINING and not (decision.kind == "Approved" and decision.run)
    return decision.kind in _ENDS_QUESTION and decision.run == question.run


def _served(decisions: Sequence[Decided]) -> Iterator[Served]:
    serving: Served | None = None
    # Of the decisions on one record the last says who serves; which of them is the reason is another question.
    for _, group in groupby(decisions, key=lambda decision: (decision.partition, decision.offset, decision.cause)):
        together = list(group)
        champion = next((decision.champion for decision in reversed(together) if decision.champion), "")
        if not champion or (serving is not None and champion == serving.release):
            continue
        reasons = [decision for decision in together if decision.kind in _CHANGES_CHAMPION] or together
        if serving is not None:
            yield Served(release=serving.release, since=serving.since, until=reasons[-1].at, decision=serving.decision)
        serving = Served(release=champion, since=reasons[-1].at, until=None, decision=reasons[-1])
    if serving is not None:
        yield serving


def _runs(decisions: Sequence[Decided]) -> Iterator[Run]:
    by_run: dict[str, list[Decided]] = {}
    for decision in decisions:
        if decision.run:
            by_run.setdefault(decision.run, []).append(decision)
    for run, found in by_run.items():
        states = [_RUN_STATES[decision.kind] for decision in found if decision.kind in _RUN_STATES]
        if not states:
            continue
        orders = [decision.order.attempt for decision in found if decision.order is not None]
        yield Run(
            run=run,
            model=found[0].model,
            state=states[-1],
            attempts=max(orders, default=0),
            release=next((decision.release for decision in reversed(found) if decision.release), ""),
            decisions=tuple(found),
        )
