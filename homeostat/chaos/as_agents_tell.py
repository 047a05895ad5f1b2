"""Records as the agents write them, for whoever drives a controller without traffic."""

from __future__ import annotations

from datetime import datetime

from streams.events import (
    UNIT,
    ArmEvidence,
    ChallengerScore,
    ChallengerScored,
    EvidenceGathered,
    LossesGathered,
    Route,
    derived_id,
)


def losses_told(
    model: str, release: str, period: int, at: datetime, *, rows: int, errors: int, actor: str = "agents"
) -> LossesGathered:
    """A closed period of a classifier: so many of the rows were answered wrongly. `at`: the end of the period."""
    return LossesGathered(
        id=derived_id(model, release, "losses", period),
        at=at,
        model=model,
        actor=actor,
        reason="period closed",
        release=release,
        period=period,
        n=rows,
        made=rows,
        loss=errors * UNIT,
        loss_squared=errors * UNIT,
    )


def scores_told(
    model: str,
    at: datetime,
    scores: tuple[ChallengerScore, ...],
    *,
    first: int,
    end: int,
    partition: int = 0,
    actor: str = "agents",
) -> ChallengerScored:
    """One finished lake file of labels, from an offset to another."""
    return ChallengerScored(
        id=derived_id(model, "challenger", partition, first, end),
        at=at,
        model=model,
        actor=actor,
        reason="scored",
        partition=partition,
        first_offset=first,
        end_offset=end,
        scores=scores,
    )


def score(release: str, period: int, *, labelled: int, champion: int, challenger: int, n: int | None = None) -> ChallengerScore:
    """So many wrong answers of each on the rows drawn (all, unless `n` says otherwise), the fewer of them on the same rows."""
    return ChallengerScore(
        release=release,
        period=period,
        labelled=labelled,
        n=labelled if n is None else n,
        champion=champion * UNIT,
        challenger=challenger * UNIT,
        difference_squared=abs(champion - challenger) * UNIT,
    )


def evidence_told(
    model: str,
    route: Route,
    at: datetime,
    *,
    arm: str,
    n: int,
    worse: int,
    better: int,
    answered: int,
    actor: str = "agents",
) -> EvidenceGathered:
    """Cumulative evidence of the route's step: `answered` rows by both arms, split as the share says; `n` labelled pairs."""
    release = route.candidate if arm == "candidate" else route.control
    by_arm = round(answered * route.share)
    return EvidenceGathered(
        id=derived_id(model, route.generation, route.step, arm, n, answered),
        at=at,
        model=model,
        actor=actor,
        reason="",
        generation=route.generation,
        step=route.step,
        release=release,
        arm=arm,
        champion=route.champion,
        covers={"labels-0": n + answered + 1},
        n=n,
        worse=worse,
        better=better,
        difference=(worse - better) * UNIT,
        difference_squared=(worse + better) * UNIT,
        arms=(
            ArmEvidence(arm="champion", release=route.champion, answered=answered - by_arm, scored=answered),
            ArmEvidence(arm=arm, release=release, answered=by_arm, scored=answered),
        ),
    )
