"""Short histories of a model that between them come to every kind of decision, and which record of which one does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from homeostat.chaos.crashes.rehearsal import POLICY, Cast, Rehearsal
from streams.events import (
    AcceptChange,
    Approve,
    Override,
    Pause,
    PolicySet,
    Promote,
    QualityIncident,
    QuarantineRule,
    RecallFinished,
    Restored,
    Resume,
    RetrainRequested,
    RollBack,
    Ticked,
    TrainingFailed,
)
from streams.policy import Policy

GOOD, BAD = 20, 40
"""Errors in a hundred rows, before and after."""
FEATURE: Final = "x"

Story = Callable[[Cast], Rehearsal]

# mypy: disable-error-code="arg-type"
# The common part of every record comes from Rehearsal.said, which makes what each of them needs.


def candidate(cast: Cast, policy: Policy = POLICY) -> Rehearsal:
    """Asked for, trained, and in shadow."""
    told = Rehearsal(cast, policy)
    told.register()
    told.tell(RetrainRequested(**told.said("retrain")))
    told.finish()
    return told


def promoted(cast: Cast) -> Rehearsal:
    """Through shadow and the one step."""
    told = candidate(cast)
    told.prove(300, worse=5, better=15)
    told.prove(100, worse=2, better=5, answered=200)
    return told


def baked(cast: Cast) -> Rehearsal:
    """The control goes."""
    told = promoted(cast)
    told.prove(400, worse=10, better=10)
    return told


def taken_back(cast: Cast) -> Rehearsal:
    """A person wants the earlier release, and offers the other once more."""
    told = promoted(cast)
    told.tell(RollBack(**told.said("rollback")))
    told.tell(Promote(release=cast.releases[1], **told.said("promote")))
    return told


def rejected(cast: Cast) -> Rehearsal:
    """Worse in shadow."""
    told = candidate(cast)
    told.prove(300, worse=90, better=5)
    return told


def retried(cast: Cast) -> Rehearsal:
    """The first attempt gives no result."""
    told = Rehearsal(cast)
    told.register()
    told.tell(RetrainRequested(**told.said("retrain")))
    told.tell(TrainingFailed(run=told.state.job.run, attempt=1, retryable=True, **told.said("failed")))
    return told


def queued(cast: Cast) -> Rehearsal:
    """A second candidate while the first is in shadow."""
    told = candidate(cast)
    told.tell(RetrainRequested(**told.said("retrain")))
    told.finish(2)
    return told


def bought(cast: Cast) -> Rehearsal:
    """Losses rise until a training pays; nothing has served before, so it is a training."""
    told = Rehearsal(cast)
    told.register()
    told.lose(30, GOOD)
    told.lose(50, BAD)
    return told


def recalled(cast: Cast) -> Rehearsal:
    """What served before is tried first, and is better."""
    told = baked(cast)
    told.lose(30, GOOD)
    told.lose(50, BAD)
    told.tell(
        RecallFinished(
            run=told.state.job.run, attempt=1, release=cast.releases[0], numbers={"rows": 200.0}, **told.said("recall")
        )
    )
    return told


def frozen(cast: Cast) -> Rehearsal:
    """The challenger stays good where the champion does not: frozen, it is proved better."""
    told = Rehearsal(cast)
    told.register()
    told.lose(20, GOOD, challenger=GOOD)
    told.lose(50, BAD, challenger=GOOD)
    told.tell(
        RecallFinished(
            run=told.state.job.run, attempt=1, release=cast.releases[1], numbers={"rows": 200.0}, challenger=True,
            **told.said("frozen"),
        )
    )  # fmt: skip
    return told


def policy_set(cast: Cast) -> Rehearsal:
    """Another policy."""
    told = Rehearsal(cast)
    told.register()
    told.tell(PolicySet(policy=msgspec.structs.replace(POLICY, autonomy="approve"), **told.said("policy")))
    return told


def incident(cast: Cast) -> Rehearsal:
    """A data bug is called, and is over."""
    told = Rehearsal(cast)
    told.register()
    rule = QuarantineRule(incident=f"{cast.model}-bug", feature=FEATURE, kind="missing", since=told.began)
    told.tell(QualityIncident(release=cast.releases[0], rule=rule, closed=False, **told.said("bug")))
    told.tell(
        QualityIncident(
            release=cast.releases[0],
            rule=msgspec.structs.replace(rule, until=told.began + timedelta(hours=1)),
            closed=True,
            **told.said("bug"),
        )
    )
    return told


def change_accepted(cast: Cast) -> Rehearsal:
    """What was called a bug is how the world is now."""
    told = Rehearsal(cast)
    told.register()
    rule = QuarantineRule(incident=f"{cast.model}-bug", feature=FEATURE, kind="missing", since=told.began)
    told.tell(QualityIncident(release=cast.releases[0], rule=rule, closed=False, **told.said("bug")))
    told.tell(AcceptChange(feature=FEATURE, **told.said("accept")))
    return told


def gate_overridden(cast: Cast) -> Rehearsal:
    """The gate refuses, a person does not."""
    told = Rehearsal(cast)
    told.register()
    told.tell(RetrainRequested(**told.said("retrain")))
    told.finish(passed=False)
    told.tell(Override(release=cast.releases[1], **told.said("override")))
    return told


def shadow_overridden(cast: Cast) -> Rehearsal:
    """A person does not wait for the shadow."""
    told = candidate(cast)
    told.tell(Override(release=cast.releases[1], **told.said("override")))
    return told


def asked(cast: Cast) -> Rehearsal:
    """Shadow is left with a person's word only."""
    told = candidate(cast, msgspec.structs.replace(POLICY, autonomy="approve"))
    told.prove(300, worse=5, better=15)
    told.tell(Approve(decision=told.newest("ApprovalWanted").id, **told.said("approve")))
    return told


def held(cast: Cast) -> Rehearsal:
    """Paused in shadow, and let go again."""
    told = candidate(cast)
    told.tell(Pause(**told.said("pause")))
    told.tell(Resume(**told.said("resume")))
    return told


def late(cast: Cast) -> Rehearsal:
    """Shadow comes to no verdict in its time (none at all, here), and a person is asked."""
    told = candidate(cast, msgspec.structs.replace(POLICY, canary=msgspec.structs.replace(POLICY.canary, deadline=MOMENT)))
    told.now += timedelta(seconds=1)
    told.tell(Ticked(**told.said("tick")))
    return told


def restored(cast: Cast) -> Rehearsal:
    """A model comes back from the mirror into a log that does not know it."""
    before = promoted(cast)
    told = Rehearsal(cast)
    state = msgspec.msgpack.encode(before.state)
    told.tell(Restored(incarnation=before.state.rollout.incarnation + 1, state=state, **told.said("restored")))
    return told


MOMENT: Final = timedelta(milliseconds=1)
STORIES: Final[tuple[Story, ...]] = (
    baked,
    taken_back,
    rejected,
    retried,
    queued,
    bought,
    recalled,
    frozen,
    policy_set,
    incident,
    change_accepted,
    gate_overridden,
    shadow_overridden,
    asked,
    held,
    late,
    restored,
)


def story_of(kind: str, cast: Cast) -> tuple[Rehearsal, int]:
    """A history that comes to such a decision, and the place of the record that does. Raises LookupError."""
    for story in STORIES:
        told = story(cast)
        for place, decisions in enumerate(told.decided):
            if any(decision.kind == kind for decision in decisions):
                return told, place
    raise LookupError(f"no story comes to a decision of kind {kind}")
