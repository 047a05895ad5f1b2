"""What the demo must have shown, as a table of stories."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from homeostat.demo.follower import Seen
from homeostat.demo.results import BLOCK_ROWS, Measured, block_interval, judge, paths
from streams.events import Decided

HEALED, NULL = "electricity", "electricity-shuffled"
ROWS = 20 * BLOCK_ROWS


def decided(kind: str, row: int, *, run: str = "", model: str = HEALED) -> Seen:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    decision = Decided(
        id=f"{kind}{row}", at=at, model=model, kind=kind, why="", run=run, cause="c", partition=0, offset=row, core="1"
    )
    return Seen(decision=decision, row=row, wall_s=0.0)


def training(run: str, row: int, *, model: str = HEALED) -> list[Seen]:
    """A training that is bought and promoted 200 rows later."""
    return [
        decided("TrainingBought", row, model=model),
        decided("TrainingStarted", row, run=run, model=model),
        decided("TrainingEnded", row, run=run, model=model),
        decided("ShadowStarted", row, run=run, model=model),
        decided("StepTaken", row + 100, run=run, model=model),
        decided("Promoted", row + 200, run=run, model=model),
    ]


def measured(seen: list[Seen], **changes: Any) -> Measured:
    """Twenty weeks; from row 1,000 on the healed model is right on 80 %, the frozen one on 70 %."""
    generator = np.random.default_rng(7)
    served = (generator.random(ROWS) < 0.8).astype(float)
    frozen = (generator.random(ROWS) < 0.7).astype(float)
    whole = {
        "seen": seen,
        "served": served,
        "frozen": frozen,
        "first_row": 0,
        "clock": 0.75,
        "sent": 10,
        "accounted": 10,
        "miscounted": 0,
        "seed": 1,
        "seconds": 99.94,
    }
    return Measured(**(whole | changes))


THREE = [*training("a", 1_000), *training("b", 2_000), *training("c", 3_000)]


def test_three_trainings_bought_and_promoted_with_a_proved_gain_pass() -> None:
    results = judge(measured(THREE))
    assert results.shortfalls == ()
    assert results.document["healed"] is True
    assert results.document["rows_due_to_promoted"] == 200.0
    assert (results.document["trainings"], results.document["promotions"], results.document["seconds"]) == (3, 3, 99.9)
    assert list(results.document) == [
        "healed",
        "trainings",
        "promotions",
        "rollbacks",
        "challengers",
        "null_trainings",
        "null_challengers",
        "null_allowed",
        "null_promotions",
        "recalls",
        "false_incidents",
        "rows_due_to_promoted",
        "accuracy_served",
        "accuracy_frozen",
        "accuracy_clock",
        "events_sent",
        "events_accounted",
        "seed",
        "seconds",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seen": []}, "no candidate of electricity went"),
        ({"seen": [one for one in THREE if one.decision.kind != "StepTaken"]}, "no candidate of electricity went"),
        ({"seen": [one for one in THREE if one.decision.kind != "TrainingBought"]}, "no candidate of electricity went"),
        ({"frozen": np.ones(ROWS)}, "the gain over the frozen model is not proved"),
        ({"served": np.ones(1_500), "frozen": np.zeros(1_500)}, "too few rows after the first promotion"),
        ({"seen": [*THREE, *training("n", 500, model=NULL), *training("m", 900, model=NULL)]}, "at least 6 must stand"),
        ({"seen": [*THREE, *(decided("TrainingStarted", n, run=str(n), model=NULL) for n in range(4))]}, "4 candidates on"),
        ({"seen": [*THREE, *(decided("ChallengerFrozen", n, run=str(n), model=NULL) for n in range(4))]}, "4 candidates on"),
        ({"seen": training("a", 1_000)}, "1 candidates on electricity; at least 3 must stand"),
        ({"miscounted": 2}, "2 rows were not counted exactly once"),
        ({"accounted": 9}, "of 10 events sent, 9 were found"),
    ],
)
def test_what_was_not_shown_is_said(changes: dict[str, Any], said: str) -> None:
    results = judge(measured(changes.pop("seen", THREE), **changes))
    assert any(said in sentence for sentence in results.shortfalls), results.shortfalls


def test_a_challenger_let_in_heals_as_a_training_does() -> None:
    """Wanted, frozen, tried, promoted; the clock beside it trains as often."""
    kinds = {"TrainingBought": "ChallengerWanted", "TrainingStarted": "ChallengerFrozen"}
    seen = [
        decided(kinds.get(one.decision.kind, one.decision.kind), one.row, run=one.decision.run)
        for one in THREE
        if one.decision.kind != "TrainingEnded"
    ]
    results = judge(measured(seen))
    assert results.shortfalls == ()
    assert (results.document["trainings"], results.document["challengers"]) == (0, 3)


def test_a_training_that_a_person_asked_for_heals_nothing_by_itself() -> None:
    by_hand = [one for one in training("a", 100) if one.decision.kind != "TrainingBought"]
    assert paths([*by_hand, *training("b", 900)], HEALED) == paths(training("b", 900), HEALED)


def test_an_interval_over_blocks_is_wider_than_one_over_rows_when_neighbours_are_alike() -> None:
    generator = np.random.default_rng(5)
    alike = np.repeat(generator.normal(size=40), BLOCK_ROWS)
    apart = generator.permutation(alike)
    wide, narrow = block_interval(alike), block_interval(apart)
    assert wide is not None
    assert narrow is not None
    assert wide.high - wide.low > 5 * (narrow.high - narrow.low)


def test_the_interval_covers_the_mean_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        found = block_interval(generator.normal(0.1, 1.0, size=12 * 50), block_rows=50)
        assert found is not None
        covered += found.low <= 0.1 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_one_block_is_too_few() -> None:
    assert block_interval(np.ones(BLOCK_ROWS)) is None


def test_the_document_is_plain_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(judge(measured(THREE)).document))["healed"] is True


def test_a_data_bug_called_on_a_stream_that_is_well_is_a_shortfall() -> None:
    """On either of the two."""
    for model in (HEALED, NULL):
        results = judge(measured([*THREE, decided("IncidentOpened", 4_000, model=model)]))
        assert any("data bugs were called" in sentence for sentence in results.shortfalls)
    assert judge(measured(THREE)).document["false_incidents"] == 0
