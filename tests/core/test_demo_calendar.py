"""When the demo's sender stops, and how it cuts requests."""

from __future__ import annotations

import itertools
from datetime import timedelta

import numpy as np

from homeostat.demo.calendar import FIRST_STOP, LABEL_LAG, next_stop, requests, row_at
from homeostat.demo_policy import DEMO_POLICY, IDLE_SYNC_ROWS, LABEL_DELAY_ROWS
from homeostat.electricity import STEP

PERIOD = DEMO_POLICY.staleness.period


def test_at_a_stop_all_labels_of_the_period_before_are_in_and_none_of_the_next() -> None:
    for stop in range(FIRST_STOP, FIRST_STOP + 10 * IDLE_SYNC_ROWS, IDLE_SYNC_ROWS):
        last_labelled = row_at(stop - LABEL_DELAY_ROWS - 1)
        first_unlabelled = row_at(stop - LABEL_DELAY_ROWS)
        assert first_unlabelled.timestamp() % PERIOD.total_seconds() == 0
        assert first_unlabelled - last_labelled == STEP


def test_the_last_label_of_a_period_is_known_a_day_after_its_end() -> None:
    end = row_at(FIRST_STOP - LABEL_DELAY_ROWS)
    assert row_at(FIRST_STOP - LABEL_DELAY_ROWS - 1) + LABEL_LAG == end + timedelta(days=1)


def stops(start: int, end: int, tried_since: int | None) -> list[int]:
    """All stops after `start` up to `end`."""
    found = [start]
    while found[-1] < end:
        found.append(next_stop(found[-1], tried_since))
    return [row for row in found[1:] if row <= end]


def test_while_nothing_is_tried_there_is_one_stop_a_period() -> None:
    found = stops(4_531, 10_000, None)
    assert found[0] == FIRST_STOP + 96 * ((4_531 - FIRST_STOP) // 96 + 1)
    assert {after - before for before, after in itertools.pairwise(found)} == {96}


def test_while_a_candidate_is_tried_every_period_has_its_stop_and_every_step_its_exposure() -> None:
    found = stops(4_608, 6_000, tried_since=4_608)
    assert set(stops(4_608, 6_000, None)) < set(found)
    assert {4_608 + DEMO_POLICY.canary.step_rows * k for k in range(1, 13)} <= set(found)


def test_requests_cover_the_stretch_once_and_have_one_to_48_rows() -> None:
    cut = list(requests(4_531, 6_000, np.random.default_rng(3)))
    assert cut[0][0] == 4_531
    assert cut[-1][1] == 6_000
    assert all(before[1] == after[0] for before, after in itertools.pairwise(cut))
    sizes = {end - start for start, end in cut}
    assert min(sizes) >= 1
    assert max(sizes) <= 48
    assert len(sizes) > 20, "of many sizes"


def test_the_seed_fixes_the_sizes() -> None:
    assert list(requests(0, 500, np.random.default_rng(1))) == list(requests(0, 500, np.random.default_rng(1)))
