"""Rules that a planted bug around the challenger breaks: True where one holds in the smallest call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from homeostat.chaos.as_agents_tell import score, scores_told
from streams.events import UNIT
from streams.policy import ChallengerPolicy
from tests.core.challenger_log import (
    GOOD,
    answered,
    measured,
    model,
    order_of,
    policy,
    scored,
    stale_until_wanted,
    started,
    wanted,
)
from tests.core.control_log import EVENT_T0, ControlLog, evidence, losses, promote


def cheaply_wanted() -> ControlLog:
    """The challenger pays, and a training does not."""
    log = started()
    stale_until_wanted(log, bad=28)
    return log


def a_stretch_is_scored_once() -> bool:
    log = started()
    log.tell(scored(1, 40, 20))
    return log.tell(scored(1, 40, 20)) == ["Refused"]


def scores_fit_their_rows() -> bool:
    told = msgspec.structs.replace(score("first", 1, labelled=9, champion=0, challenger=0), champion=9 * UNIT + 1)
    return started().tell(scores_told("m", EVENT_T0, (told,), first=0, end=9)) == ["Refused"]


def each_release_has_its_own_scores() -> bool:
    log = started()
    log.tell(losses(1, 40))
    return log.tell(scored(1, 90, 10, release="older")) == []


def a_period_waits_for_its_rows() -> bool:
    log = started()
    log.tell(scores_told("m", EVENT_T0, (score("first", 1, labelled=50, champion=9, challenger=9),), first=0, end=50))
    return log.tell(losses(1, 20)) == []


def a_period_does_not_wait_for_ever() -> bool:
    log = started(policy(ChallengerPolicy(silent_periods=2)))
    return [bool(log.tell(losses(period, 20))) for period in (1, 2, 3)] == [False, False, True]


def silence_is_noticed() -> bool:
    log = started(policy(ChallengerPolicy(silent_periods=2)))
    for period in range(9):
        log.tell(losses(period, 20))
    return model(log).losses.own


def another_measure_is_another_account() -> bool:
    log = started(policy(ChallengerPolicy(silent_periods=1)))
    for period in range(5):
        measured(log, period, GOOD)
    for period in range(5, 8):
        log.tell(losses(period, GOOD))
    return log.decisions[-1].numbers["age_periods"] == 3.0


def the_account_knows_a_frozen_champion() -> bool:
    log = wanted()
    answered(log, "frozen")
    promote(log)
    return model(log).staleness.excess.frozen


def in_vain_is_remembered() -> bool:
    log = wanted()
    answered(log, "frozen")
    log.tell(evidence(log.routes[-1], 300, worse=90, better=5))
    return model(log).frozen_in_vain


def a_frozen_challenger_begins_in_shadow() -> bool:
    return answered(wanted(), "frozen") == ["ChallengerFrozen", "ShadowStarted"]


def what_does_not_pay_is_not_trained() -> bool:
    return answered(cheaply_wanted(), "", challenger=False) == ["TrainingEnded"]


def nobody_freezes_one_unasked() -> bool:
    log = wanted()
    answered(log, "frozen")
    promote(log)
    log.tell(evidence(log.routes[-1], 300, arm="control"))
    off = policy(ChallengerPolicy(silent_periods=3, candidate=False))
    state = msgspec.structs.replace(model(log), policy=off)
    log.state = msgspec.structs.replace(log.state, models={"m": state})
    stale_until_wanted(log, release="frozen", first=60)
    return order_of(log).recall == ("first",) and answered(log, "smuggled") == ["TrainingStarted"]


def the_budget_is_spared() -> bool:
    log = wanted()
    answered(log, "frozen")
    return model(log).admission.started == ()


RULES: Final[dict[str, Callable[[], bool]]] = {
    "repeated_scores_count": a_stretch_is_scored_once,
    "impossible_scores_pass": scores_fit_their_rows,
    "scores_of_any_release": each_release_has_its_own_scores,
    "first_file_is_the_period": a_period_waits_for_its_rows,
    "waits_for_ever": a_period_does_not_wait_for_ever,
    "silence_passed_over": silence_is_noticed,
    "measures_mixed": another_measure_is_another_account,
    "frozen_champion_taken_for_trained": the_account_knows_a_frozen_champion,
    "wanted_again_at_once": in_vain_is_remembered,
    "frozen_skips_its_shadow": a_frozen_challenger_begins_in_shadow,
    "trains_though_it_does_not_pay": what_does_not_pay_is_not_trained,
    "frozen_without_being_asked": nobody_freezes_one_unasked,
    "frozen_counts_as_a_training": the_budget_is_spared,
}
