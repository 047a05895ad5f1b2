"""What the join of losses refuses, and how much of what it takes it remembers."""

from __future__ import annotations

import msgspec
import pytest

from drift import joined_losses
from drift.joined_losses import MOST_PERIODS, MOST_RELEASES, MOST_ROWS, JoinedLosses, Scores
from homeostat.chaos.as_agents_tell import score
from streams.events import UNIT, ChallengerScored
from tests.core.joined_story import NEWEST, file, told, whole


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (file(0, whole(3)), "repeated: the file of labels-0 from offset 0 is scored"),
        (msgspec.structs.replace(file(2, whole(3)), end_offset=2**62), "no stretch of labels"),
        (msgspec.structs.replace(file(2, whole(3)), partition=-1), "no stretch of labels"),
        (msgspec.structs.replace(file(2, whole(3)), partition=2**20), "no stretch of labels"),
        (msgspec.structs.replace(file(2, whole(3)), end_offset=2_000), "no stretch of labels"),
        (file(2, whole(NEWEST + 1)), "lies beyond the time"),
        (file(2, whole(3, 101)), "impossible sums"),
        (file(2, whole(3, 0, 101)), "impossible sums"),
        (file(2, whole(3, -1)), "impossible sums"),
        (file(2, score("a", 3, labelled=10, n=11, champion=0, challenger=0)), "impossible sums"),
        (file(2, score("a", 3, labelled=10, n=-1, champion=0, challenger=0)), "impossible sums"),
        (file(2, msgspec.structs.replace(whole(3), difference_squared=101 * UNIT)), "impossible sums"),
        (file(2, whole(3, labelled=1_001)), "1001 labelled rows in 1000 offsets"),
        (file(2, whole(3, labelled=501), whole(4, labelled=500)), "1001 labelled rows in 1000 offsets"),
    ],
)
def test_what_cannot_be_is_refused(record: ChallengerScored, why: str) -> None:
    """Repeats, and sums that no rows have."""
    state, _ = told(file(0, whole(3)))
    assert why in joined_losses.refusal(state, record, newest=NEWEST)
    assert joined_losses.refusal(state, file(2, whole(3)), newest=NEWEST) == ""
    assert joined_losses.refusal(state, msgspec.structs.replace(record, **_sound(record)), newest=NEWEST) == ""


def _sound(record: ChallengerScored) -> dict[str, object]:
    return {"partition": 0, "first_offset": 2_000, "end_offset": 3_000, "scores": (whole(3),)}


def test_what_is_remembered_is_bounded() -> None:
    """Periods, releases of one, and sums that a snapshot can still hold; periods before 1970 are never closed."""
    periods = [file(number, whole(number)) for number in range(MOST_PERIODS + 9)]
    releases = [file(100 + number, whole(500, release=f"r{number}")) for number in range(MOST_RELEASES + 9)]
    state, _ = told(*periods, *releases, file(200, whole(-1)), file(201, whole(-(2**62))))
    assert len(state.scores) == MOST_PERIODS
    assert len(state.scores[500]) == MOST_RELEASES
    full = msgspec.structs.replace(state, scores={900: {"a": Scores(labelled=MOST_ROWS, n=0)}})
    after, _ = told(file(300, whole(900)), state=full)
    assert after.scores[900]["a"].labelled == MOST_ROWS
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(after), type=JoinedLosses) == after
