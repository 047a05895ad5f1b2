"""Stories of closed periods and of what the challenger told of them: records in, measured periods out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from drift import joined_losses
from drift.joined_losses import JoinedLosses, Measured
from homeostat.chaos.as_agents_tell import losses_told, score, scores_told
from streams.events import ChallengerScore, ChallengerScored, LossesGathered
from streams.policy import ChallengerPolicy

T0 = datetime(2020, 1, 1, tzinfo=UTC)
NEWEST = 2_000
POLICY = ChallengerPolicy(silent_periods=3)
Told = LossesGathered | ChallengerScored


def closed(period: int, errors: int = 40, *, rows: int = 100, release: str = "a") -> LossesGathered:
    """The champion's own losses."""
    return losses_told("m", release, period, T0 + timedelta(hours=period), rows=rows, errors=errors)


def file(number: int, *scores: ChallengerScore, partition: int = 0) -> ChallengerScored:
    """A lake file of labels; those of a partition are numbered in their order."""
    return scores_told("m", T0, scores, first=number * 1_000, end=(number + 1) * 1_000, partition=partition)


def whole(period: int, champion: int = 40, challenger: int = 20, *, release: str = "a", labelled: int = 100) -> ChallengerScore:
    """All rows of a period, all drawn."""
    return score(release, period, labelled=labelled, champion=champion, challenger=challenger)


def told(
    *records: Told, policy: ChallengerPolicy = POLICY, state: JoinedLosses | None = None
) -> tuple[JoinedLosses, list[Measured]]:
    """What records come to; one that is refused ends the story with its reason."""
    state, found = state or JoinedLosses(), list[Measured]()
    for record in records:
        if isinstance(record, LossesGathered):
            state, more = joined_losses.gathered(state, record, policy)
        else:
            assert joined_losses.refusal(state, record, newest=NEWEST) == ""
            state, more = joined_losses.scored(state, record, policy)
        found += more
    return state, found
