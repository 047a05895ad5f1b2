"""The live loop held against its replay and its own log, and how long its own part takes: from logs told by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pytest

from benchmarks.healing.live import KEYS, not_run
from benchmarks.healing.live_log import LabelTaken, LiveLog, read_log
from benchmarks.healing.orchestration import orchestration
from benchmarks.healing.purchases import Agreement, Kind, Purchase, agreement, live_purchases, refolds, replay_purchases
from homeostat.demo.calendar import next_stop
from homeostat.demo_policy import DEMO_POLICY
from homeostat.offline_result import LoopReplay, Tried
from streams.adapters.memory import MemoryReader, MemoryWriter
from streams.adapters.memory_log import MemoryLog
from streams.codec import encode_json
from streams.events import ArmOutput, HeartBeaten, Labelled, Predicted
from streams.ports import Outgoing
from streams.topics import LABELS, PREDICTIONS
from tests.core.control_log import ControlLog, evidence, finished, losses, promote, registered, stale_until_bought
from tests.core.traffic import Traffic, key_and_value
from tests.core.training_shop import MemoryStore

SECOND = timedelta(seconds=1)
WROTE = timedelta(seconds=0.25)
"""From a record of `control` to what was decided on it."""


def bought() -> tuple[ControlLog, str]:
    """A log in which a training was bought, and its run."""
    log = ControlLog()
    log.tell(registered())
    return log, stale_until_bought(log)


def told_at(log: ControlLog, kind: str) -> datetime:
    """When the broker took the cause of the first such decision."""
    return next(decision.at for decision in log.decisions if decision.kind == kind)


def kept(
    log: ControlLog,
    *,
    began: dict[str, datetime] | None = None,
    tried: Sequence[datetime] = (),
    labels: Sequence[LabelTaken] = (),
) -> LiveLog:
    return LiveLog(
        model="m",
        control=tuple(log.messages),
        decided=tuple(log.decisions),
        decided_at={decision.id: decision.at + WROTE for decision in log.decisions},
        began=began or {},
        tried_at={"second": tuple(tried)},
        labels=tuple(labels),
    )


def test_a_training_that_is_let_through_is_a_purchase_at_the_period_that_made_it_due() -> None:
    log, run = bought()
    period = int(next(one.numbers["period"] for one in reversed(log.decisions) if one.kind == "StalenessMeasured"))
    assert live_purchases(kept(log)) == [Purchase(period=period, kind=Kind.NOTHING)]
    log.tell(finished(run))
    log.tell(losses(period + 1, 40))
    assert live_purchases(kept(log)) == [Purchase(period=period, kind=Kind.TRAINING)]


def test_a_training_that_its_gate_refuses_is_a_purchase_of_nothing() -> None:
    log, run = bought()
    log.tell(finished(run, passed=False))
    assert [one.kind for one in live_purchases(kept(log))] == [Kind.NOTHING]


def test_the_log_says_what_must_be_bought() -> None:
    """Not so where a purchase is missing, another is made up, or a period's losses are not those that were told."""
    log, _ = bought()
    whole = kept(log)
    assert refolds(whole) is True
    (purchase,) = (one for one in whole.decided if one.kind == "TrainingBought")
    made_up = msgspec.structs.replace(purchase, id="another")
    assert refolds(dataclasses.replace(whole, decided=(*whole.decided, made_up))) is False
    renamed = tuple(msgspec.structs.replace(one, kind="ChallengerWanted") if one is purchase else one for one in whole.decided)
    assert refolds(dataclasses.replace(whole, decided=renamed)) is False
    healthy = encode_json(losses(len(log.messages) - 2, 20))  # the last period: the registration is the first record
    last = dataclasses.replace(log.messages[-1], value=healthy)
    assert refolds(dataclasses.replace(whole, control=(*log.messages[:-1], last))) is False


def test_where_nothing_was_bought_nothing_is_shown() -> None:
    log = ControlLog()
    log.tell(registered())
    for period in range(20):
        log.tell(losses(period, 20))
    assert refolds(kept(log)) is None
    assert live_purchases(kept(log)) == []
    assert agreement([], [Purchase(period=3, kind=Kind.TRAINING)]) == Agreement(share=None, near_share=None, parts_at=3)


@pytest.mark.parametrize(
    ("second", "wanted"),
    [
        ([(5, "training"), (9, "challenger")], Agreement(share=1.0, near_share=1.0, parts_at=None)),
        ([(5, "training"), (10, "challenger")], Agreement(share=0.5, near_share=1.0, parts_at=9)),
        ([(5, "training"), (11, "challenger")], Agreement(share=0.5, near_share=0.5, parts_at=9)),
        ([(5, "recall"), (9, "training")], Agreement(share=0.0, near_share=0.0, parts_at=5)),
        ([(2, "recall"), (5, "training"), (9, "challenger")], Agreement(share=1.0, near_share=1.0, parts_at=2)),
        ([], Agreement(share=0.0, near_share=0.0, parts_at=5)),
    ],
)
def test_purchases_agree_in_period_and_kind(second: list[tuple[int, str]], wanted: Agreement) -> None:
    first = [Purchase(period=5, kind=Kind.TRAINING), Purchase(period=9, kind=Kind.CHALLENGER)]
    assert agreement(first, [Purchase(period=period, kind=Kind(kind)) for period, kind in second]) == wanted


def test_a_replay_buys_at_the_stop_behind_its_period() -> None:
    """The row of a purchase is the sender's stop, whether it is reckoned from the stop or from the period."""
    due = next_stop(next_stop(4_531, None), None)
    tried = [
        Tried(due=due, outcome="promoted", ended=due + 300, shadow_labelled=96),
        Tried(due=due + 96, outcome="gate", ended=due + 96, shadow_labelled=0),
        Tried(due=due + 192, outcome="CandidateRejected", ended=due + 300, shadow_labelled=96, frozen=True),
        Tried(due=due + 289, outcome="open", ended=due + 300, shadow_labelled=0, recalled=True),
    ]
    replay = LoopReplay(accuracy=1.0, trainings=1, tried=tuple(tried), wrong=np.zeros(0, dtype=np.bool_))
    found = replay_purchases(replay, DEMO_POLICY.staleness)
    assert [one.kind for one in found] == [Kind.TRAINING, Kind.NOTHING, Kind.CHALLENGER, Kind.RECALL]
    assert [one.period - found[0].period for one in found] == [0, 1, 2, 3]
    assert [one.row_of(DEMO_POLICY.staleness) for one in found] == [due, due + 96, due + 192, due + 288]


def test_the_loops_own_part_is_what_lies_between_the_records() -> None:
    log, run = bought()
    log.tell(finished(run))
    promote(log)
    result, made = finished(run).id, told_at(log, "TrainingEnded")
    cause = next(one for one in log.decisions if one.kind == "Promoted")
    end = evidence(log.routes[-2], 100, better=5, worse=2, answered=200).covers["labels-0"]
    delays = orchestration(
        kept(
            log,
            began={result: told_at(log, "TrainingStarted") + 0.5 * SECOND},
            tried=(made - 60 * SECOND, made + 0.125 * SECOND, made + SECOND),  # it was tried before, in another rollout
            labels=(
                LabelTaken(partition=0, offset=end - 2, at=cause.at - 3 * SECOND),
                LabelTaken(partition=0, offset=end - 1, at=cause.at - 2 * SECOND),
                LabelTaken(partition=0, offset=end, at=cause.at - SECOND),  # not covered
                LabelTaken(partition=1, offset=0, at=cause.at - SECOND),  # nor is its partition
            ),
        )
    )
    assert delays.medians == {"ordered_to_run": 0.5, "made_to_shadow": 0.125, "evidence_to_champion": 2.25}
    assert delays.counts == dict.fromkeys(delays.medians, 1)
    assert delays.total == 2.875


def test_a_part_that_never_happened_leaves_no_sum() -> None:
    log, run = bought()
    log.tell(finished(run))
    delays = orchestration(kept(log, began={finished(run).id: told_at(log, "TrainingStarted") + SECOND}))
    assert delays.medians == {"ordered_to_run": 1.0, "made_to_shadow": None, "evidence_to_champion": None}
    assert delays.total is None


def test_a_log_is_read_for_one_model() -> None:
    """Beats are passed over, and so are what another release or arm answered and the labels of another model."""
    traffic, other = Traffic(), Traffic(model="other")
    log = MemoryLog()
    candidates = {output.release for output in traffic.outputs(0, candidate=True) if output.arm == "candidate"}
    failed = msgspec.structs.replace(
        traffic.predicted(3, candidate=True), outputs=(ArmOutput(arm="candidate", release="broken", failure="late"),)
    )
    predictions: list[Predicted | HeartBeaten] = [
        traffic.predicted(1),
        traffic.predicted(2, candidate=True),
        failed,
        HeartBeaten(),
    ]
    labels: list[Labelled | HeartBeaten] = [traffic.labelled(1), other.labelled(1), HeartBeaten()]
    records = [*((PREDICTIONS, one) for one in predictions), *((LABELS, one) for one in labels)]
    writer = MemoryWriter(log)
    for topic, record in records:
        key, value = key_and_value(record)
        writer.write([Outgoing(topic=topic, key=key, value=value, partition=2)], 1.0)
    read = read_log(MemoryReader(log), MemoryStore(), traffic.model)
    assert {release: len(times) for release, times in read.tried_at.items()} == dict.fromkeys(candidates, 1)
    assert [(label.partition, label.offset) for label in read.labels] == [(2, 0)]
    assert read_log(MemoryReader(log), MemoryStore(), "nobody").labels == ()


def test_where_it_does_not_run_every_key_says_so() -> None:
    document = not_run("no time")
    assert set(document) == {*KEYS, "live_skipped"}
    assert [value for value in document.values() if value is not None] == ["no time"]
