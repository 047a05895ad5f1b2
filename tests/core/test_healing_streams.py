"""The streams: drawn from the seed alone, in order of time, cut into periods, and blind to what is not known yet."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.healing.flights import PLACES, SCHEDULE, WEATHER, weather
from benchmarks.healing.generated import GENERATED
from benchmarks.healing.streams import NAMES, electricity, stream
from tests.core.healing_tables import FIRST_ROWS, PERIOD_ROWS, constant_world

NOT_KNOWN_BEFORE_DEPARTURE = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum"}


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_stream_is_drawn_from_its_seed_alone(name: str) -> None:
    first, again, other = stream(name, 3), stream(name, 3), stream(name, 4)
    assert np.array_equal(first.features, again.features)
    assert np.array_equal(first.target, again.target)
    assert not np.array_equal(first.features, other.features)


@pytest.mark.parametrize("name", GENERATED)
def test_streams_change_as_they_are_named(name: str) -> None:
    """A plane fitted to the first release's rows errs as before where nothing changes (the control), and more elsewhere."""
    one = stream(name, 0)
    matrix = np.column_stack([np.ones(len(one.target)), one.features])
    plane = np.linalg.lstsq(matrix[: one.first_rows], one.target[: one.first_rows], rcond=None)[0]
    answers = matrix @ plane
    if one.classes:
        answers = (answers > 0.5).astype(np.float64)
    losses = one.losses(answers, one.target)
    by_period = losses[one.first_rows :].reshape(one.periods, one.period_rows).mean(axis=1)
    rise = np.convolve(by_period, np.ones(10) / 10, mode="valid").max() - losses[: one.first_rows].mean()
    assert rise < 0.05 if name == "none" else rise > 0.05


def test_labels_come_late_and_windows_end_at_the_last_known_one() -> None:
    one = constant_world(periods=6)
    assert one.window(0) == (0, FIRST_ROWS)
    assert one.known(one.begin(1)) == one.begin(1) - PERIOD_ROWS // 2
    assert one.window(4) == (one.begin(4) - PERIOD_ROWS // 2 - FIRST_ROWS, one.begin(4) - PERIOD_ROWS // 2)


def test_a_shuffled_copy_has_the_same_rows_in_another_order() -> None:
    one = stream("gradual", 0)
    copy = one.shuffled(1)
    assert not np.array_equal(copy.target, one.target)
    assert np.array_equal(np.sort(copy.features[:, 0]), np.sort(one.features[:, 0]))


def test_a_head_has_as_many_periods_as_wanted_at_most() -> None:
    one = stream("none", 0)
    assert one.head(7).periods == 7
    assert one.head(10_000).periods == one.periods


def test_the_electricity_stream_is_the_demos() -> None:
    one = electricity()
    assert (len(one.target), one.first_rows, one.periods) == (45_312, 4_531, 424)


def test_no_feature_of_a_flight_is_known_only_after_it() -> None:
    assert NOT_KNOWN_BEFORE_DEPARTURE.isdisjoint({*SCHEDULE, *PLACES, *WEATHER})


def test_the_weathers_label_is_a_later_rows_temperature() -> None:
    """Read back from the rows themselves: the same airport and hour of day, a day later."""
    one = weather()
    airport, hour, temperature = one.features[:, 0], one.features[:, 1], one.features[:, 2]
    right = tried = 0
    for row in range(0, 5_000, 97):
        later = [r for r in range(row + 60, row + 85) if airport[r] == airport[row] and hour[r] == hour[row]]
        if len(later) == 1:
            tried += 1
            right += float(temperature[later[0]] > temperature[row]) == one.target[row]
    assert tried > 40
    assert right == tried


def test_an_unknown_stream_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="electricity"):
        stream("electrcity")
    assert len(NAMES) == len(set(NAMES))
