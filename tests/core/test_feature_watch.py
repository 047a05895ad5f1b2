"""The detectors of the release that serves, as stories: windows of features in, arming and drift out."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from drift.monitoring import State, names_newer
from streams.events import DetectorsArmed, DriftDetected
from tests.core.window_log import START, Windows, folded, known, profile, served_counts, shifted_stream


def test_detectors_arm_after_the_burn_in_and_alarm_once() -> None:
    """Armed after 100 live rows; one alarm of the shifted feature, however long the shift lasts."""
    rng = np.random.default_rng(5)
    knowing = known(generation=1, champion="r1", reference=profile(rng.normal(size=4_000)))
    _, signals = folded(State(), knowing, *shifted_stream(Windows(), rng))
    armed = [one for one in signals if isinstance(one, DetectorsArmed)]
    drifts = [one for one in signals if isinstance(one, DriftDetected) and one.feature == "x"]
    assert [(one.release, one.rows, one.off) for one in armed] == [("r1", 100, ())]
    assert len(drifts) == 1
    assert drifts[0].size == pytest.approx(1.5, abs=0.4)
    assert START + timedelta(hours=0.3) <= drifts[0].since <= START + timedelta(hours=1)


def test_a_new_champion_starts_the_detectors_again() -> None:
    """The state says which champion it does not know; once told, detectors arm anew, under ids of their own."""
    rng = np.random.default_rng(6)
    reference = profile(rng.normal(size=4_000))
    cut = Windows()
    state, first = folded(
        State(), known(generation=1, champion="r1", reference=reference), *(cut.features(rng.normal(size=60)) for _ in range(2))
    )
    promoted = msgspec.structs.replace(
        cut.features(rng.normal(size=60)), served=(served_counts("r9", "champion", 60, generation=3),)
    )
    assert names_newer(state, promoted) == (3, "r9")
    state, second = folded(
        state, known(generation=3, champion="r9", reference=reference), promoted, cut.features(rng.normal(size=60))
    )
    assert names_newer(state, promoted) is None
    armed = [one for one in first + second if isinstance(one, DetectorsArmed)]
    assert [one.release for one in armed] == ["r1", "r9"]
    assert len({one.id for one in armed}) == 2


def test_a_reference_that_is_too_short_switches_its_stream_off_and_says_so() -> None:
    """150 rows support no rate of one false alarm in 10,000 rows."""
    rng = np.random.default_rng(7)
    knowing = known(generation=1, champion="r1", reference=profile(rng.normal(size=150)))
    _, signals = folded(State(), knowing, *shifted_stream(Windows(), rng))
    (armed,) = [one for one in signals if isinstance(one, DetectorsArmed)]
    assert [one.split(":")[0] for one in armed.off][:1] == ["x"]
    assert not [one for one in signals if isinstance(one, DriftDetected) and one.feature == "x"]
