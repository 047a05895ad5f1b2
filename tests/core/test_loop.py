"""The fold of `control`: whole stories of a model, told record by record."""

from __future__ import annotations

import msgspec
import pytest

from homeostat import replay
from homeostat.control_fold import LIMIT_BYTES, PartitionState, fold
from streams import topics
from streams.codec import encode_json
from streams.events import DriftDetected, PolicySet, RollBack, Ticked, TrainingFailed
from streams.policy import CanaryPolicy, Policy
from tests.core.control_log import (
    EVENT_T0,
    POLICY,
    ControlLog,
    evidence,
    finished,
    losses,
    promote,
    registered,
    retrain,
    stale_until_bought,
)


@pytest.fixture
def log() -> ControlLog:
    """A log whose model is registered."""
    log = ControlLog()
    assert log.tell(registered()) == ["Registered"]
    return log


def test_staleness_heals_by_itself(log: ControlLog) -> None:
    """Stale -> bought -> trained -> shadow -> 10 % -> 50 % -> promoted -> baked, and the account starts anew."""
    run = stale_until_bought(log)
    assert log.tell(finished(run)) == ["TrainingEnded", "ShadowStarted"]
    promote(log)
    assert log.tell(evidence(log.routes[-1], 200, arm="control")) == ["BakeEnded"]
    assert log.kinds() == [
        "Registered",
        "TrainingBought",
        "TrainingStarted",
        "TrainingEnded",
        "ShadowStarted",
        "StepTaken",
        "StepTaken",
        "Promoted",
        "BakeEnded",
    ]
    assert [(route.champion, route.candidate, route.share, route.control) for route in log.routes] == [
        ("first", "", 0.0, ""),
        ("first", "second", 0.0, ""),
        ("first", "second", 0.1, ""),
        ("first", "second", 0.5, ""),
        ("second", "", 0.0, "first"),
        ("second", "", 0.0, ""),
    ]
    assert [route.generation for route in log.routes] == [1, 2, 3, 4, 5, 6]
    assert log.state.models["m"].staleness.age == 0


def test_the_same_loss_for_ever_starts_nothing(log: ControlLog) -> None:
    """The control: without staleness nothing but measurements is decided."""
    for period in range(200):
        log.tell(losses(period, 40))
    assert log.kinds() == ["Registered"]


def test_the_same_retrain_command_twice_is_one_run(log: ControlLog) -> None:
    """Twice at once, and twice after the run ended."""
    assert log.tell(retrain()) == ["TrainingStarted"]
    run = log.decisions[-1].run
    assert log.tell(retrain()) == ["Refused"]
    log.tell(finished(run, passed=False))
    assert log.tell(retrain()) == ["Refused"]
    assert log.tell(retrain("req-2")) == ["TrainingStarted"]
    assert log.decisions[-1].run != run


def test_another_request_during_a_run_joins_it(log: ControlLog) -> None:
    """One run in flight for each model."""
    log.tell(retrain())
    run = log.decisions[-1].run
    assert log.tell(retrain("req-2")) == ["TrainingRefused"]
    assert log.decisions[-1].run == run


def test_a_request_for_a_release_that_no_longer_serves_is_refused(log: ControlLog) -> None:
    """It speaks of something that is gone."""
    assert log.tell(retrain(release="another")) == ["TrainingRefused"]
    assert log.tell(retrain("req-2", release="first")) == ["TrainingStarted"]


def test_one_run_gives_one_candidate(log: ControlLog) -> None:
    """A second result of a run is refused, whatever it holds."""
    log.tell(retrain())
    run = log.decisions[-1].run
    log.tell(finished(run))
    other = msgspec.structs.replace(finished(run, "third"), id="another-id")
    assert log.tell(other) == ["Refused"]
    assert log.routes[-1].candidate == "second"


def test_a_failed_run_is_retried_then_given_up_and_sinks_the_price(log: ControlLog) -> None:
    """Infrastructure: three attempts; then the staleness account starts again with a back-off."""
    run = stale_until_bought(log)
    for attempt in (1, 2, 3):
        failure = TrainingFailed(
            id=f"f{attempt}",
            at=EVENT_T0,
            model="m",
            actor="trainer",
            reason="worker lost",
            run=run,
            attempt=attempt,
            retryable=True,
        )
        kinds = log.tell(failure)
    assert log.kinds()[-3:] == ["TrainingRetried", "TrainingRetried", "TrainingEnded"]
    assert kinds == ["TrainingEnded"]
    account = log.state.models["m"].staleness
    assert (account.refusals, account.total, account.running) == (1, 0.0, False)


def test_a_worse_candidate_never_gets_in(log: ControlLog) -> None:
    """Shadow pairs reject it; the champion's route stays; the next purchase waits."""
    run = stale_until_bought(log)
    log.tell(finished(run))
    assert log.tell(evidence(log.routes[-1], 300, worse=60, better=5)) == ["CandidateRejected"]
    assert (log.routes[-1].champion, log.routes[-1].candidate) == ("first", "")
    assert log.state.models["m"].staleness.wait > 0


def test_a_candidate_that_turns_bad_on_live_traffic_leaves(log: ControlLog) -> None:
    """Pairs go on counting in the steps: Worse there rolls back."""
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    assert log.routes[-1].share == 0.1
    assert log.tell(evidence(log.routes[-1], 400, worse=160, better=5, answered=400)) == ["RolledBack"]
    assert (log.routes[-1].champion, log.routes[-1].candidate, log.routes[-1].share) == ("first", "", 0.0)


def test_losses_of_another_release_or_of_a_measured_period_are_refused(log: ControlLog) -> None:
    """Only the champion's losses count, each period once."""
    assert log.tell(losses(0, 20)) == ["StalenessMeasured"]
    assert log.tell(losses(0, 20)) == ["Refused"]
    assert log.tell(msgspec.structs.replace(losses(0, 30), id="other")) == ["Refused"]
    assert log.tell(losses(1, 20, release="another")) == ["Refused"]
    assert log.tell(losses(2, 200)) == ["Refused"]


def test_a_record_from_the_future_is_refused(log: ControlLog) -> None:
    """One record from 2099 ends no cooldown; one from 1996 works."""
    future = msgspec.structs.replace(losses(0, 20), at=EVENT_T0.replace(year=2099))
    assert log.tell(future) == ["Refused"]
    past = msgspec.structs.replace(losses(1, 20), at=EVENT_T0.replace(year=1996))
    assert log.tell(past) == ["StalenessMeasured"]


def test_what_cannot_be_read_is_a_decision_and_a_dead_letter(log: ControlLog) -> None:
    """Undecodable, unknown type, wrong key: refused with reason, the partition goes on."""
    for value, key, reason in (
        (b"not json", b"m", "undecodable"),
        (b'{"type":"Nonsense","id":"x","at":"2026-01-01T00:00:00Z","model":"m"}', b"m", "unknown_type"),
        (log.messages[0].value, b"another", "wrong_key"),
    ):
        folded = log.append(value, key)
        assert [decision.kind for decision in folded.decisions] == ["Refused"]
        assert folded.dead_letter is not None
        assert folded.dead_letter.reason == reason
    misplaced = log.append(log.messages[0].value, b"m", partition=log.partition + 1)
    assert misplaced.dead_letter is not None
    assert misplaced.dead_letter.reason == "wrong_partition"
    assert log.tell(losses(0, 20)) == ["StalenessMeasured"]


@pytest.mark.parametrize(
    ("value", "key", "reason"),
    [
        (encode_json(msgspec.structs.replace(retrain(), reason="\x7f" * 200_000)), b"m", "oversized"),
        (encode_json(retrain()), b"\x7f" * 1_000_000, "wrong_key"),
        (b'{"type":"' + b"x" * 100_000 + b'"}', b"m", "unknown_type"),
        (encode_json(retrain("i" * 257)), b"m", "wrong_schema"),
    ],
)
def test_what_is_long_is_answered_within_what_its_topics_take(log: ControlLog, value: bytes, key: bytes, reason: str) -> None:
    """A decision that did not fit its topic would stop the leader at that record for ever."""
    folded = log.append(value, key)
    assert folded.dead_letter is not None
    assert folded.dead_letter.reason == reason
    for record, topic in ((folded.decisions[0], topics.DECISIONS), (folded.dead_letter, topics.DEAD_LETTERS)):
        assert len(encode_json(record)) < topics.named(topic).max_record_bytes


def test_the_longest_record_taken_is_answered_within_what_its_topic_takes(log: ControlLog) -> None:
    """Every part that a decision repeats, as long as the bound lets it be and escaped at its dearest."""
    longest = encode_json(retrain()).replace(b"because", b"\x7f" * (LIMIT_BYTES - 2_000))
    folded = log.append(longest, b"m")
    assert [decision.kind for decision in folded.decisions] == ["TrainingStarted"]
    assert len(encode_json(folded.decisions[0])) < topics.named(topics.DECISIONS).max_record_bytes


def test_a_command_for_a_model_nobody_registered_is_refused() -> None:
    """No state comes from it."""
    log = ControlLog("ghost")
    assert log.tell(retrain(model="ghost")) == ["Refused"]
    assert log.state.models == {}


def test_registering_twice_changes_nothing(log: ControlLog) -> None:
    """A registered model keeps its champion."""
    again = msgspec.structs.replace(registered(), id="again", release="other")
    assert log.tell(again) == ["Refused"]
    assert log.routes[-1].champion == "first"


def test_a_policy_acts_from_its_record_on(log: ControlLog) -> None:
    """Looser exposure promotes earlier, but only after the record."""
    policy = msgspec.structs.replace(POLICY, canary=CanaryPolicy(margin=0.08, step_rows=10, steps=(0.5, 1.0)))
    record = PolicySet(id="p", at=EVENT_T0, model="m", actor="ada", reason="faster", policy=policy)
    assert log.tell(record) == ["PolicyChanged"]
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    log.tell(evidence(log.routes[-1], 300, better=15, worse=5))
    assert log.routes[-1].share == 0.5


@pytest.mark.parametrize("wrong", [{"staleness": {"period": "PT0S"}}, {"canary": {"margin": 0.0}}, {"canary": {"steps": []}}])
def test_a_policy_that_cannot_be_is_refused_and_the_partition_goes_on(
    log: ControlLog, wrong: dict[str, dict[str, object]]
) -> None:
    """From the bare log too, where no command line has checked it."""
    policy = msgspec.convert(wrong, Policy)
    assert log.tell(PolicySet(id="p", at=EVENT_T0, model="m", actor="ada", reason="try", policy=policy)) == ["Refused"]
    assert log.tell(losses(0, 20)) == ["StalenessMeasured"]
    other = ControlLog()
    assert other.tell(registered(policy=policy)) == ["Refused"]
    assert other.state.models == {}


def test_a_registration_from_the_future_is_refused() -> None:
    """It would set the model's event time for ever."""
    log = ControlLog()
    assert log.tell(msgspec.structs.replace(registered(), at=EVENT_T0.replace(year=2099))) == ["Refused"]
    assert log.tell(registered()) == ["Registered"]


def test_another_period_begins_another_account(log: ControlLog) -> None:
    """Longer periods have smaller numbers: they are not taken for measured ones."""
    for period in range(100, 130):
        log.tell(losses(period, 20))
    staleness = msgspec.structs.replace(POLICY.staleness, period=2 * POLICY.staleness.period)
    policy = msgspec.structs.replace(POLICY, staleness=staleness)
    log.tell(PolicySet(id="p", at=EVENT_T0, model="m", actor="ada", reason="coarser", policy=policy))
    assert log.tell(losses(66, 20)) == ["StalenessMeasured"]
    assert log.state.models["m"].staleness.age == 1


def test_drift_explains_and_buys_nothing(log: ControlLog) -> None:
    """A thousand signals are a thousand notes, and no training."""
    for number in range(1_000):
        signal = DriftDetected(
            id=f"d{number}", at=EVENT_T0, model="m", actor="agents", reason="mean +3 sd", release="first", feature="x",
            statistic=20.0, threshold=9.0, since=EVENT_T0, size=3.0,
        )  # fmt: skip
        assert log.tell(signal) == ["DriftNoted"]
    assert log.state.models["m"].job.run == ""


def test_ids_of_commands_are_not_pushed_out_by_measurements(log: ControlLog) -> None:
    """The same command after thousands of periods is still the same command."""
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run, passed=False))
    for period in range(2_000):
        log.tell(losses(period, 20))
    assert log.tell(retrain()) == ["Refused"]


def test_a_training_past_its_deadline_is_noticed_by_the_tick(log: ControlLog) -> None:
    """The clock is in the log: the broker's time of the tick counts, not what the tick claims."""
    log.tell(retrain())
    tick = Ticked(id="t", at=EVENT_T0, model="m", actor="controller", reason="deadline")
    assert log.tell(tick) == []
    policy = msgspec.structs.replace(
        POLICY, admission=msgspec.structs.replace(POLICY.admission, deadline=POLICY.staleness.period / 3_600)
    )
    log.tell(PolicySet(id="p", at=EVENT_T0, model="m", actor="ada", reason="short", policy=policy))
    assert log.tell(msgspec.structs.replace(tick, id="t2")) == ["TrainingRetried"]


def test_a_person_rolls_back_to_what_served_and_to_nothing_else(log: ControlLog) -> None:
    """By hand, after the promotion."""
    log.tell(retrain())
    log.tell(finished(log.decisions[-1].run))
    promote(log)
    assert log.routes[-1].champion == "second"
    wrong = RollBack(id="b0", at=EVENT_T0, model="m", actor="ada", reason="try", to="never-served")
    assert log.tell(wrong) == ["Refused"]
    back = RollBack(id="b1", at=EVENT_T0, model="m", actor="ada", reason="complaints")
    assert log.tell(back) == ["RolledBack"]
    assert log.routes[-1].champion == "first"


def _long_story() -> ControlLog:
    log = ControlLog()
    log.tell(registered())
    run = stale_until_bought(log)
    log.append(b"garbage", b"m")
    log.tell(finished(run))
    promote(log)
    log.tell(retrain("late"))
    log.tell(retrain("late"))
    return log


def test_the_fold_can_be_cut_anywhere() -> None:
    """A snapshot after any record, packed and restored, leads to the same decisions and the same state."""
    whole = _long_story()
    state, decisions = PartitionState(), []
    for message in whole.messages:
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=PartitionState)
        state, folded = fold(state, message)
        decisions.extend(folded.decisions)
    assert decisions == whole.decisions
    assert state == whole.state


def test_replay_agrees_with_the_log_and_notices_every_lie() -> None:
    """Recomputed from `control` alone; a changed, a missing and an added decision are each found."""
    log = _long_story()
    assert replay.compare(log.messages, log.decisions).differing == ()
    changed = [msgspec.structs.replace(log.decisions[3], kind="Promoted"), *log.decisions[:3], *log.decisions[4:]]
    assert len(replay.compare(log.messages, changed).differing) == 1
    assert len(replay.compare(log.messages, [*log.decisions[:3], *log.decisions[4:]]).differing) == 1
    added = msgspec.structs.replace(log.decisions[3], id="forged")
    assert len(replay.compare(log.messages, [*log.decisions, added]).differing) == 1
    assert len(replay.compare(log.messages, [*log.decisions, log.decisions[5]]).differing) == 1


def test_replay_compares_what_was_decided_and_not_by_which_core() -> None:
    """A newer core that decides the same agrees; a log whose beginning is gone cannot be replayed, and that is said."""
    log = _long_story()
    older = [msgspec.structs.replace(decision, core="0") for decision in log.decisions]
    assert replay.compare(log.messages, older).differing == ()
    assert "begins at offset 3" in replay.compare(log.messages[3:], log.decisions).differing[0]


def test_losses_told_again_after_a_rollback_buy_nothing() -> None:
    """A period is measured once, whichever champion it was of: else an old purchase would be made, and its run opened, again."""
    log = ControlLog()
    log.tell(registered())
    bought_by = losses(0, 20)
    for period in range(80):
        bought_by = losses(period, 20 if period < 30 else 40)
        if "TrainingStarted" in log.tell(bought_by):
            break
    log.tell(finished(log.decisions[-1].run))
    promote(log)
    log.tell(losses(bought_by.period + 1, 20, release="second"))
    log.tell(RollBack(id="back", at=EVENT_T0, model="m", actor="ada", reason="looks odd", to="first"))
    assert log.tell(bought_by) == ["Refused"]
    assert log.tell(losses(bought_by.period + 2, 20)) == ["StalenessMeasured"]


@pytest.mark.parametrize("name", ["../m", ".m", "a/b", "a b", "ümlaut", "m" * 101])
def test_a_name_that_cannot_be_is_not_registered(name: str) -> None:
    log = ControlLog(name)
    assert log.tell(registered(name)) == ["Refused"]
    assert log.decisions[-1].why.startswith("not registered: the name ")
    assert name not in log.state.models
