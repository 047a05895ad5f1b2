"""Closed periods joined with what the challenger lost in them: stories, events in and measured periods out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import msgspec
import pytest

from drift import joined_losses
from drift.joined_losses import HEARD_PERIODS, JoinedLosses, Measured
from homeostat.chaos.as_agents_tell import score
from streams.policy import ChallengerPolicy
from tests.core.joined_story import NEWEST, POLICY, Told, closed, file, told, whole


def silent_until_own() -> JoinedLosses:
    """Nothing was heard of the challenger while three newer periods were closed."""
    state, measured = told(*(closed(period) for period in range(5)))
    assert [one.losses.rows for one in measured] == [100] * 5
    return state


def differences(measured: Iterable[Measured]) -> list[float]:
    """What the staleness rule is told of each."""
    return [round(one.losses.difference, 6) for one in measured]


@pytest.mark.parametrize("scores_first", [True, False])
def test_a_period_is_measured_once_both_are_complete(scores_first: bool) -> None:
    """In whichever order they come; the mean difference, and the variance of a row's."""
    records: list[Told] = [file(0, whole(7)), closed(7)]
    state, (one,) = told(*(records if scores_first else reversed(records)))
    assert (one.closed.period, one.losses.rows, one.labelled) == (7, 100, 100)
    assert one.losses.difference == pytest.approx(0.2)
    assert one.losses.row_variance == pytest.approx(0.2 - 0.04)
    assert one.losses.offered
    assert state.scores == {}
    assert state.waiting == ()


def test_rows_of_several_files_add_up_and_an_incomplete_period_waits() -> None:
    """Two partitions, three files: nothing is measured before the last of them."""
    half = whole(7, 20, 10, labelled=50)
    state, measured = told(closed(7), file(0, half), file(0, whole(7, 10, 0, labelled=25), partition=1))
    assert measured == []
    _, (one,) = told(file(1, whole(7, 10, 10, labelled=25)), state=state)
    assert (one.losses.rows, one.losses.difference) == (100, pytest.approx(0.2))


def test_what_stays_incomplete_is_measured_when_the_challenger_has_passed_on_to_two_newer_periods() -> None:
    """On the rows there are; not a period earlier, and not because newer ones are closed."""
    part = file(0, whole(1, 20, 10, labelled=50))
    state, measured = told(part, closed(1), closed(2), closed(3), file(1, whole(2)))
    assert measured == []
    _, measured = told(file(2, whole(3)), state=state)
    assert [one.closed.period for one in measured] == [1, 2, 3]
    assert (measured[0].losses.rows, measured[0].losses.difference) == (50, pytest.approx(0.2))


@pytest.mark.parametrize("lag", [1, 2])
def test_a_challenger_that_lags_is_waited_for_and_never_taken_for_silent(lag: int) -> None:
    """It speaks of each period when `lag` newer ones are closed: every one is measured against it."""
    records: list[Told] = []
    for period in range(40):
        records.append(closed(period))
        if period >= lag:
            records.append(file(period, whole(period - lag)))
    _, measured = told(*records)
    assert len(measured) == 40 - lag
    assert not any(one.changed for one in measured)
    assert set(differences(measured)) == {0.2}


def test_one_that_lags_beyond_patience_is_given_up_once_and_does_not_flap() -> None:
    """Seven periods behind, three are waited for: the own loss is measured from the first on, for good."""
    records: list[Told] = []
    for period in range(60):
        records.append(closed(period))
        if period >= 7:
            records.append(file(period, whole(period - 7)))
    _, measured = told(*records)
    assert [bool(one.changed) for one in measured] == [True] + [False] * 59


def test_periods_are_measured_in_their_order() -> None:
    """A complete one behind an incomplete one waits for its turn."""
    state, measured = told(closed(1), closed(2), file(0, whole(2)))
    assert measured == []
    _, measured = told(file(1, whole(1)), state=state)
    assert [one.closed.period for one in measured] == [1, 2]


def test_another_release_s_rows_are_not_the_champion_s() -> None:
    """The same period, two releases: each has sums of its own."""
    _, (one,) = told(file(0, whole(1, 90, 0, release="b"), whole(1, 40, 30)), closed(1))
    assert differences([one]) == [0.1]


def test_a_share_is_drawn_and_all_labelled_rows_count_for_completeness() -> None:
    """Thirty of a hundred are scored: complete at once, as sure as thirty rows make it, and worth a hundred."""
    drawn = score("a", 1, labelled=100, n=30, champion=12, challenger=6)
    policy = msgspec.structs.replace(POLICY, share=0.3)
    _, (one,) = told(file(0, drawn), closed(1), policy=policy)
    assert (one.labelled, one.losses.rows, one.losses.difference) == (100, 100, pytest.approx(0.2))
    variance_of_mean = one.losses.row_variance / one.losses.rows
    assert variance_of_mean == pytest.approx((0.2 - 0.04) / 30)


def test_without_a_word_the_own_loss_is_measured_from_then_on() -> None:
    """It is waited for while three newer ones are closed; then none of those need wait."""
    state, measured = told(*(closed(period) for period in range(3)))
    assert (measured, state.own) == ([], False)
    state, measured = told(*(closed(period) for period in range(3, 6)), state=state)
    assert [one.losses.rows for one in measured] == [100] * 6
    assert [bool(one.changed) for one in measured] == [True] + [False] * 5
    assert "said nothing of 3 periods" in measured[0].changed
    assert differences(measured) == [0.4] * 6
    assert not any(one.losses.offered for one in measured)
    assert state.own
    assert state.waiting == ()


def test_a_word_in_between_begins_the_count_of_silence_anew() -> None:
    """Two are passed over, then two are heard, and so on: it is never silent for three."""
    records: list[Told] = []
    for period in range(0, 40, 4):
        records += [closed(period), closed(period + 1), closed(period + 2)]
        records += [file(period, whole(period + 2)), file(period + 1, whole(period + 3)), closed(period + 3)]
    state, measured = told(*records)
    assert not state.own
    assert [one.losses.rows for one in measured] == [0, 0, 100, 100] * 10


def test_a_period_without_rows_is_no_silence() -> None:
    """Nothing was there to speak of."""
    state, measured = told(*(closed(period, 0, rows=0) for period in range(9)))
    assert not state.own
    assert [one.losses.rows for one in measured] == [0] * 9


def test_a_period_without_rows_does_not_end_a_silence() -> None:
    """Where every other period is empty, a challenger that died would never be given up."""
    state, measured = told(*(closed(period, 0, rows=100 * (period % 2)) for period in range(8)))
    assert state.own
    assert any("said nothing of 3 periods" in one.changed for one in measured)


def test_it_is_measured_against_again_once_it_is_heard_in_four_periods() -> None:
    """Three are not enough; then the change is said, once."""
    state = silent_until_own()
    first = range(10, 10 + HEARD_PERIODS)
    heard = [record for period in first for record in (file(period, whole(period)), closed(period))]
    state, measured = told(*heard[:-2], state=state)
    assert state.own
    assert differences(measured) == [0.4] * 3
    state, (one,) = told(*heard[-2:], state=state)
    assert "heard again" in one.changed
    assert differences([one]) == [0.2]
    assert not state.own
    _, (one,) = told(file(20, whole(20)), closed(20), state=state)
    assert one.changed == ""


def test_scores_that_draw_nothing_are_not_a_word() -> None:
    """Neither of a period to come nor of one that was measured."""
    nothing = [file(period, score("a", period, labelled=9, n=0, champion=0, challenger=0)) for period in (0, 1, 2, 30, 31)]
    state, _ = told(*nothing, state=silent_until_own())
    assert state.heard == ()


def test_scores_that_come_late_count_for_no_period() -> None:
    """Its period was measured without them; they are a word only where a period would have waited so long for them."""
    before = silent_until_own()
    state, measured = told(file(0, whole(1)), state=before)
    assert (measured, state.scores, state.heard) == ([], {}, ())
    state, measured = told(file(1, whole(4)), state=before)
    assert (measured, state.scores, state.heard) == ([], {}, (4,))


def test_a_policy_without_challenger_measures_the_own_loss_at_once() -> None:
    """And says so where it was otherwise; a model registered so has nothing to say."""
    off = ChallengerPolicy(enabled=False)
    state, measured = told(closed(1), closed(2))
    assert measured == []
    state, measured = told(closed(3), state=state, policy=off)
    assert [one.losses.rows for one in measured] == [100] * 3
    assert [bool(one.changed) for one in measured] == [True, False, False]
    _, (one,) = told(closed(1), state=JoinedLosses(own=True), policy=off)
    assert one.changed == ""


def test_a_candidate_that_the_policy_does_not_want_is_not_offered() -> None:
    """It is measured against all the same."""
    _, (one,) = told(file(0, whole(1)), closed(1), policy=ChallengerPolicy(candidate=False))
    assert (one.losses.difference, one.losses.offered) == (pytest.approx(0.2), False)


def test_other_periods_forget_what_was_of_the_old_ones_and_no_repeat_counts() -> None:
    """What waits and what was scored goes; files stay, and whose loss is measured."""
    state, _ = told(closed(5), file(0, whole(6)), file(1, whole(7)))
    other = joined_losses.in_other_periods(state)
    assert (other.waiting, other.scores, other.measured_until) == ((), {}, -1)
    assert "repeated" in joined_losses.refusal(other, file(1, whole(2)), newest=NEWEST)
    assert joined_losses.in_other_periods(silent_until_own()).own


def test_a_new_log_forgets_the_offsets_of_the_old_one() -> None:
    """Its first file begins at 0 again."""
    state, _ = told(file(0, whole(6)), file(1, whole(7)))
    fresh = joined_losses.in_new_log(state)
    assert joined_losses.refusal(fresh, file(0, whole(8)), newest=NEWEST) == ""
    assert joined_losses.in_new_log(silent_until_own()).own


def test_a_snapshot_at_any_record_gives_the_same_measured_periods() -> None:
    """Packed and unpacked behind each."""
    records: list[Told] = [closed(0), file(0, whole(0), whole(1)), closed(1)]
    records += [closed(period) for period in range(2, 9)]
    records += [record for period in range(9, 16) for record in (file(period, whole(period)), closed(period))]
    _, expected = told(*records)
    state, found = JoinedLosses(), list[Measured]()
    for record in records:
        state, more = told(record, state=msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=JoinedLosses))
        found += more
    assert [dataclasses.asdict(one) for one in found] == [dataclasses.asdict(one) for one in expected]
    assert any(one.changed for one in found)
