"""The agents' fold, as stories: windows in, records for control out."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import numpy as np
import pytest

from drift import evidence as canary
from drift.monitoring import Hole, ModelKnown, ModelUnknown, Signal, State, advance, names_newer
from drift.periods import GRACE_TICKS, MOST_OPEN
from streams.events import UNIT, EvidenceGathered, LossesGathered, WindowCounted
from tests.core.window_log import Windows, folded, known, minute, period, profile, served_counts, shifted_stream


def told(signals: list[Signal]) -> list[tuple[int, str, int, int, int]]:
    """(period after the first, release, n, made, wrong) of the losses among them."""
    return [
        (one.period - period(0), one.release, one.n, one.made, one.loss // UNIT)
        for one in signals
        if isinstance(one, LossesGathered)
    ]


def test_a_period_closes_when_all_its_labels_are_in() -> None:
    """The last label closes it at once; before the watermark passes its end it stays open."""
    cut = Windows()
    state, signals = folded(State(), known(), cut.predictions(0.1, 10), cut.labels(0.1, 6, at=0.5, wrong=2))
    assert told(signals) == []
    state, signals = folded(state, cut.labels(0.1, 3, at=1.2))
    assert told(signals) == [], "labels have passed the end, but one is out"
    state, signals = folded(state, cut.labels(0.1, 1, at=1.1, wrong=1))
    assert told(signals) == [(0, "r1", 10, 10, 3)]


def test_all_labels_in_is_not_enough_before_the_end_and_the_maturity() -> None:
    """A period whose predictions are all labelled may still get predictions until labels have passed its end."""
    cut = Windows()
    state, signals = folded(State(), known(maturity_hours=2), cut.predictions(0.1, 5), cut.labels(0.1, 5, at=2.9))
    assert told(signals) == []
    _, signals = folded(state, cut.predictions(3.1, 1), cut.labels(3.1, 1, at=3.1))
    assert told(signals) == [(0, "r1", 5, 5, 0)]


def test_a_period_closes_after_its_grace() -> None:
    """Labels that do not come are waited for during the grace, not longer; the gap is told as n < made."""
    cut = Windows()
    state, signals = folded(State(), known(), cut.predictions(0.1, 10), cut.labels(0.1, 7, at=1.0))
    state, signals = folded(state, *(cut.window("predictions", 1, hours=1.5) for _ in range(GRACE_TICKS - 1)))
    assert told(signals) == []
    _, signals = folded(state, cut.window("predictions", 1, hours=1.5))
    assert told(signals) == [(0, "r1", 7, 10, 0)]


def test_late_labels_are_counted_and_not_used() -> None:
    """What comes after the close changes no told period and opens none."""
    cut = Windows()
    state, _ = folded(State(), known(), cut.predictions(0.1, 4), cut.labels(0.1, 4, at=1.0))
    state, signals = folded(state, cut.labels(0.2, 3, at=1.1, wrong=3), cut.labels(0.3, 2, at=5.0))
    assert told(signals) == []
    assert state.models["m"].periods.late == 5
    assert state.models["m"].periods.open == {}


def test_every_period_is_told_once_in_order_for_each_of_its_releases() -> None:
    """A younger period that is complete waits for the older one."""
    cut = Windows()
    state, signals = folded(
        State(),
        known(),
        cut.predictions(0.5, 3),
        cut.predictions(0.5, 2, release="r2"),
        cut.predictions(1.5, 4),
        cut.labels(1.5, 4, at=2.5),
        cut.labels(0.5, 3, at=2.5),
    )
    assert told(signals) == [], "one release of the older period lacks labels"
    state, signals = folded(state, cut.labels(0.5, 2, at=2.6, release="r2", wrong=1))
    assert told(signals) == [(0, "r1", 3, 3, 0), (0, "r2", 2, 2, 1), (1, "r1", 4, 4, 0)]
    assert len({one.id for one in signals}) == 3
    _, signals = folded(state, cut.labels(9.5, 1, at=9.9))
    assert told(signals) == []


def test_open_periods_are_bounded() -> None:
    """Where labels never come, the oldest period is closed with what it has."""
    cut = Windows()
    state, signals = folded(State(), known(), *(cut.predictions(hour, 1) for hour in range(MOST_OPEN + 3)))
    assert told(signals) == [(hour, "r1", 0, 1, 0) for hour in range(3)]
    assert len(state.models["m"].periods.open) == MOST_OPEN


def test_a_new_period_length_keeps_what_was_counted_and_gives_new_ids() -> None:
    """Counts move, whole, into the longer period; nothing is told twice."""
    cut = Windows()
    state, _ = folded(State(), known(), cut.predictions(2.5, 3), cut.predictions(3.5, 3))
    staleness = msgspec.structs.replace(known().policy.staleness, period=timedelta(hours=2))
    longer = msgspec.structs.replace(known(), policy=msgspec.structs.replace(known().policy, staleness=staleness))
    _, signals = folded(state, longer, cut.labels(2.5, 3, at=3.9), cut.labels(3.5, 3, at=4.0))
    (one,) = signals
    assert isinstance(one, LossesGathered)
    assert (one.period, one.n, one.made) == (minute(2) // 120, 6, 6)


def test_repeats_are_dropped() -> None:
    """A window that was folded changes nothing when it comes again, even after its successors."""
    cut = Windows()
    first, second = cut.predictions(0.1, 3), cut.predictions(0.2, 3)
    state, _ = folded(State(), known(), first, second)
    again, signals = folded(state, first, second)
    assert again == state
    assert signals == []


def test_a_hole_stops_its_model_and_no_other() -> None:
    """The successor of a missing window is refused, the state stands, and so does everything behind it."""
    cut, other = Windows(), Windows("other")
    first, missing, third, fourth = (cut.predictions(0.1, 2) for _ in range(4))
    state, _ = folded(State(), known(), first, msgspec.structs.replace(known(), model="other"))
    for refused in (third, fourth):
        with pytest.raises(Hole, match="follows window"):
            advance(state, refused)
    state, _ = folded(state, other.predictions(0.1, 1), missing, third, fourth)
    assert state.models["m"].rows == {"predictions": 8}
    assert state.models["other"].rows == {"predictions": 1}


def test_partitions_have_chains_of_their_own() -> None:
    """A partition never seen begins anywhere, also where retention took what lay before; from there on nothing may lack."""
    cut = Windows()
    state, _ = folded(State(), known(), cut.predictions(0.1, 1), cut.predictions(0.1, 1, partition=5))
    gone, first, second, third = (cut.predictions(0.1, 1, partition=6) for _ in range(4))
    begun, _ = folded(state, first)
    with pytest.raises(Hole):
        advance(begun, third)
    begun, _ = folded(begun, gone, second, third)
    assert begun.models["m"].rows == {"predictions": 5}


def test_a_window_before_its_models_policy_is_refused() -> None:
    """Nothing is guessed about a model."""
    with pytest.raises(ModelUnknown):
        advance(State(), Windows().predictions(0.1, 1))


def evidence_in(signals: list[Signal]) -> list[EvidenceGathered]:
    return [one for one in signals if isinstance(one, EvidenceGathered)]


def test_evidence_is_cumulative_and_covers_what_it_counted() -> None:
    """Each record holds everything since the step began, and its vector of offsets advances."""
    cut = Windows()
    state, signals = folded(State(), known(), cut.predictions(0.1, 9), cut.rollout(6))
    (first,) = evidence_in(signals)
    assert (first.n, first.better, first.difference, first.release, first.champion) == (6, 3, -3 * UNIT, "r2", "r1")
    assert first.covers == {"labels-0": 6, "predictions-0": 9}
    _, signals = folded(state, cut.rollout(4), cut.rollout(2))
    (second,) = evidence_in(signals)
    assert (second.n, second.better) == (12, 6)
    assert second.covers == {"labels-0": 12, "predictions-0": 9}
    assert second.id != first.id


def test_evidence_is_told_when_it_grew_by_a_twentieth_and_at_once_on_failures() -> None:
    """200 pairs are told again at 210, or with the first new failure."""
    cut = Windows()
    state, signals = folded(State(), known(), cut.rollout(200), cut.rollout(9))
    assert [one.n for one in evidence_in(signals)] == [200]
    state, signals = folded(state, cut.rollout(1))
    assert [one.n for one in evidence_in(signals)] == [210]
    _, signals = folded(state, cut.rollout(0, failures=1))
    (told_at_once,) = evidence_in(signals)
    assert (told_at_once.n, told_at_once.arms[-1].failures) == (210, 1)


def test_answered_rows_are_evidence_too() -> None:
    """A step without labels yet still tells its exposure, of both arms."""
    cut = Windows()
    both = tuple(
        served_counts(release, arm, answered, step=1, generation=2)
        for release, arm, answered in (("r1", "champion", 9), ("r2", "candidate", 1))
    )
    _, signals = folded(State(), known(), cut.window("predictions", served=both, rows=10))
    (one,) = evidence_in(signals)
    assert [(arm.arm, arm.answered, arm.latency) for arm in one.arms] == [("champion", 9, {159: 9}), ("candidate", 1, {159: 1})]


def test_a_new_step_counts_from_nothing_and_late_pairs_stay_in_theirs() -> None:
    """Labels of predictions made in an earlier step add to that step."""
    cut = Windows()
    state, _ = folded(State(), known(), cut.rollout(50, step=1), cut.rollout(5, step=2))
    _, signals = folded(state, cut.rollout(10, step=1), cut.rollout(5, step=2))
    assert [(one.step, one.n) for one in evidence_in(signals)] == [(1, 60), (2, 10)]


def test_only_the_newest_steps_are_kept() -> None:
    """Memory is bounded; labels of a step long gone are not used."""
    cut = Windows()
    state, _ = folded(State(), known(), *(cut.rollout(10, generation=generation) for generation in range(1, 9)))
    assert [step.generation for step in state.models["m"].evidence.steps] == [5, 6, 7, 8]
    _, signals = folded(state, cut.rollout(10, generation=1))
    assert evidence_in(signals) == []


def test_made_up_generations_push_out_no_real_step_and_no_champion() -> None:
    """Served rows of a generation far beyond the known one are ignored; sealed pairs are believed, however far they are."""
    cut = Windows()
    foreign = [served_counts("r9", arm, 9, generation=10**9 + number) for number in range(5) for arm in ("champion", "candidate")]
    attack = cut.window("predictions", served=tuple(foreign))
    ahead = cut.window("predictions", served=(served_counts("r2", "champion", 9, generation=1 + canary.TRUSTED_AHEAD),))
    state, _ = folded(State(), known(generation=1, champion="r1"), cut.rollout(10))
    assert names_newer(state, attack) is None
    state, signals = folded(state, attack)
    assert [step.key for step in state.models["m"].evidence.steps] == [(2, 1)]
    assert evidence_in(signals) == []
    assert names_newer(state, ahead) == (9, "r2")
    state, signals = folded(state, ahead, cut.rollout(10), cut.rollout(10, generation=500))
    assert [(one.generation, one.n) for one in evidence_in(signals)] == [(2, 20), (500, 10)]
    promoted = cut.window("predictions", served=(served_counts("r3", "champion", 9, generation=501),))
    assert names_newer(state, promoted) == (501, "r3"), "a state that missed much goes on from what is sealed"


@pytest.mark.parametrize("cut_after", range(0, 19, 3))
def test_a_fold_that_is_cut_by_a_snapshot_gives_the_same_output(cut_after: int) -> None:
    """Encode the state anywhere, decode it, go on: every later record is the same, byte for byte."""
    rng = np.random.default_rng(8)
    cut = Windows()
    items: list[ModelKnown | WindowCounted] = [known(generation=1, champion="r1", reference=profile(rng.normal(size=3_000)))]
    for stream in shifted_stream(cut, rng):
        items += [stream, cut.rollout(7, answered=3)]
    items += [cut.predictions(0.2, 4), cut.labels(0.2, 4, at=1.5)]
    _, whole = folded(State(), *items)
    state, before = folded(State(), *items[:cut_after])
    restored = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)
    _, after = folded(restored, *items[cut_after:])
    assert [msgspec.json.encode(one) for one in before + after] == [msgspec.json.encode(one) for one in whole]
    assert {type(one).__name__ for one in whole} == {"LossesGathered", "EvidenceGathered", "DriftDetected", "DetectorsArmed"}
