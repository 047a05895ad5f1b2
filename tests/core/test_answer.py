"""An arm that raises, hangs or says what is no answer costs the client nothing, and is on record."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from serving.adapters.engine import Engine, Waits
from serving.adapters.lane import QUEUED_JOBS, Job, Lane
from serving.adapters.live import LiveRoute, LoadedRelease, SideArm
from serving.answer import Predictor, Row, Score, answering, checked, score
from serving.circuit import FAILURES_TO_OPEN, Circuit
from serving.prediction import ArmOutcomes, rows_answered
from serving.request import RowSchema
from streams.contract import Contract, FeatureContract, TargetContract
from streams.events import ArmOutput, Route

TARGET = TargetContract(name="y", task="classification", classes=("0", "1"))
CONTRACT = Contract(model="m", features=(FeatureContract(name="x", kind="number"),), target=TARGET)
WAITS = Waits(answering=0.3, watching=0.05)
ROWS: tuple[Row, ...] = ({"x": 1.0}, {"x": 2.0}, {"x": 3.0})


@dataclass
class Says:
    """A predictor that says the same of every row, and counts how often it was asked."""

    value: object = 1.0
    asked: int = 0

    def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
        self.asked += 1
        return [(self.value, 0.9)] * len(rows)  # type: ignore[list-item]  # some values are wrong on purpose


@dataclass
class Raises(Says):
    """A predictor that raises, on rows whose x is `on` or on all of them."""

    on: float | None = None

    def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
        self.asked += 1
        if self.on is None or any(row["x"] == self.on for row in rows):
            raise ZeroDivisionError
        return [(1.0, 0.9)] * len(rows)


@dataclass
class Returns(Says):
    """A predictor that returns something else altogether."""

    result: object = None

    def predict(self, _rows: Sequence[Row]) -> Sequence[Score]:
        self.asked += 1
        return self.result  # type: ignore[return-value]  # wrong on purpose


@dataclass
class Hangs(Says):
    """A predictor that answers once it is released."""

    release: threading.Event = field(default_factory=threading.Event)

    def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
        self.asked += 1
        self.release.wait(20)
        return [(1.0, 0.9)] * len(rows)


@pytest.fixture
def hanging() -> Iterator[Hangs]:
    """It hangs until the test is over."""
    predictor = Hangs()
    yield predictor
    predictor.release.set()


def live_route(champion: Predictor, candidate: Predictor | None = None, control: Predictor | None = None) -> LiveRoute:
    """A route whose candidate and control are those."""
    sides = []
    for arm, predictor in (("candidate", candidate), ("control", control)):
        if predictor is not None:
            sides.append(SideArm(arm=arm, release=arm[:2] * 32, lane=Lane(predictor, TARGET, arm)))
    loaded = LoadedRelease(
        digest="a" * 64, contract_digest="b" * 64, contract=CONTRACT, schema=RowSchema(CONTRACT), predictor=champion
    )
    route = Route(id="r", at=datetime(2024, 1, 1, tzinfo=UTC), model="m", generation=1, champion="a" * 64, decision="d")
    return LiveRoute(route=route, champion=loaded, schema=loaded.schema, side_arms=tuple(sides))


def ask(live: LiveRoute, *, wants: str = "champion", times: int = 1, waits: Waits = WAITS) -> list[list[ArmOutcomes]]:
    """So many requests, one after the other, for rows that `wants` should answer."""

    async def all_of_them() -> list[list[ArmOutcomes]]:
        engine = Engine(waits)
        return [await engine.score(live, ROWS, frozenset({wants}) - {"champion"}) for _ in range(times)]

    return asyncio.run(all_of_them())


def answered(arms: list[ArmOutcomes], wants: str) -> list[ArmOutput]:
    """Whose word the client gets, row by row."""
    rows = rows_answered([wants] * len(ROWS), arms)
    assert rows is not None
    return [row.chosen for row in rows]


BAD = [
    pytest.param(Raises(), "exception", id="raises"),
    pytest.param(Says(value=math.nan), "non_finite", id="nan"),
    pytest.param(Says(value=math.inf), "non_finite", id="infinite"),
    pytest.param(Says(value=2.0), "wrong_shape", id="a class that is not there"),
    pytest.param(Says(value=0.5), "wrong_shape", id="half a class"),
    pytest.param(Says(value="1"), "wrong_shape", id="text"),
    pytest.param(Returns(result=[(1.0, 0.9)]), "wrong_shape", id="too few rows"),
    pytest.param(Returns(result=[(1.0, 0.9)] * 4), "wrong_shape", id="too many rows"),
    pytest.param(Returns(result=[1.0, 1.0, 1.0]), "wrong_shape", id="scores without probabilities"),
    pytest.param(Returns(result=[(1.0, math.nan)] * 3), "non_finite", id="probability nan"),
    pytest.param(Returns(result=None), "wrong_shape", id="nothing"),
]


@pytest.mark.parametrize(("candidate", "failure"), BAD)
def test_the_champion_answers_for_a_failing_candidate_in_the_same_request(candidate: Says, failure: str) -> None:
    [arms] = ask(live_route(Says(value=0.0), candidate), wants="candidate")
    assert [(output.arm, output.value) for output in answered(arms, "candidate")] == [("champion", 0.0)] * 3
    assert list(arms[1].outcomes) == [failure] * 3


def test_the_champion_answers_for_a_hanging_candidate_at_the_deadline(hanging: Hangs) -> None:
    began = time.monotonic()
    [arms] = ask(live_route(Says(value=0.0), hanging), wants="candidate")
    assert WAITS.answering * 0.9 <= time.monotonic() - began < WAITS.answering + 2
    assert {output.arm for output in answered(arms, "candidate")} == {"champion"}
    assert list(arms[1].outcomes) == ["late"] * 3


def test_an_answer_hardly_waits_for_an_arm_that_only_watches(hanging: Hangs) -> None:
    began = time.monotonic()
    [arms] = ask(live_route(Says(value=0.0), hanging), waits=Waits(answering=30.0, watching=0.05))
    assert time.monotonic() - began < 5
    assert list(arms[1].outcomes) == ["late"] * 3


def test_a_sound_candidate_answers_its_rows_and_the_champion_is_scored_beside_it() -> None:
    [arms] = ask(live_route(Says(value=0.0), Says(value=1.0), Says(value=0.0)), wants="candidate")
    assert {(output.arm, output.value) for output in answered(arms, "candidate")} == {("candidate", 1.0)}
    assert [(arm.arm, arm.outcomes[0]) for arm in arms] == [
        ("champion", (0.0, 0.9)),
        ("candidate", (1.0, 0.9)),
        ("control", (0.0, 0.9)),
    ]


def test_one_bad_row_is_one_failure() -> None:
    class SecondIsNan(Says):
        def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
            return [(math.nan if row["x"] == 2.0 else 1.0, 0.9) for row in rows]

    [arms] = ask(live_route(Says(value=0.0), SecondIsNan()), wants="candidate")
    assert [output.arm for output in answered(arms, "candidate")] == ["candidate", "champion", "candidate"]


@pytest.mark.parametrize(
    ("candidate", "control", "arm"),
    [(Says(), Says(), "control"), (Says(), None, "candidate"), (Says(), Raises(), "candidate"), (Raises(), Says(), "control")],
)
def test_for_a_failing_champion_the_previous_one_answers_or_else_the_candidate(
    candidate: Says, control: Says | None, arm: str
) -> None:
    [arms] = ask(live_route(Raises(), candidate, control))
    assert {output.arm for output in answered(arms, "champion")} == {arm}


def test_where_no_arm_has_an_answer_there_is_none() -> None:
    [arms] = ask(live_route(Raises(), Says(value=math.nan)))
    assert rows_answered(["champion"] * 3, arms) is None


def test_a_candidate_that_goes_on_failing_is_no_longer_asked_but_still_counted() -> None:
    candidate = Raises()
    found = ask(live_route(Says(), candidate), wants="candidate", times=FAILURES_TO_OPEN + 7)
    assert candidate.asked == FAILURES_TO_OPEN
    assert all(list(arms[1].outcomes) == ["exception"] * 3 for arms in found)


def test_a_hung_candidate_costs_a_bounded_number_of_deadlines(hanging: Hangs) -> None:
    """After these, answers do not wait for it at all, and its thread is the only one that hangs."""
    waits = Waits(answering=0.05, watching=0.01)
    live = live_route(Says(value=0.0), hanging)
    before = threading.active_count()
    ask(live, wants="candidate", times=FAILURES_TO_OPEN, waits=waits)
    began = time.monotonic()
    found = ask(live, wants="candidate", times=100, waits=waits)
    assert time.monotonic() - began < 100 * waits.answering / 2
    assert all(rows_answered(["candidate"] * 3, arms) for arms in found)
    assert hanging.asked == 1
    assert threading.active_count() == before


def test_a_hung_candidate_counts_as_failing_once_it_is_no_longer_asked(hanging: Hangs) -> None:
    """Or its rows would be late for ever, which no verdict counts."""
    live = live_route(Says(value=0.0), hanging)
    found = ask(live, wants="candidate", times=FAILURES_TO_OPEN + 3, waits=Waits(answering=0.05, watching=0.01))
    assert [set(arms[1].outcomes) for arms in found] == [{"late"}] * FAILURES_TO_OPEN + [{"exception"}] * 3
    assert {output.arm for output in answered(found[-1], "candidate")} == {"champion"}


def test_what_took_a_candidate_out_stays_on_record() -> None:
    found = ask(live_route(Says(value=0.0), Says(value=math.nan)), wants="candidate", times=FAILURES_TO_OPEN + 3)
    assert all(list(arms[1].outcomes) == ["non_finite"] * 3 for arms in found)


def test_a_lane_takes_no_more_than_its_bound(hanging: Hangs) -> None:
    lane = Lane(hanging, TARGET, "hung")
    taken = [lane.submit(Job([ROWS], lambda: None)) for _ in range(QUEUED_JOBS + 10)]
    assert QUEUED_JOBS <= sum(taken) <= QUEUED_JOBS + 1


def test_an_arm_that_is_a_little_late_is_not_taken_out() -> None:
    """It misses the answers that only watch it, but it does answer: its circuit stays closed."""

    class Slow(Says):
        def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
            time.sleep(0.02)
            return super().predict(rows)

    candidate = Slow()
    live = live_route(Says(), candidate)
    found = ask(live, times=FAILURES_TO_OPEN * 3, waits=Waits(answering=5.0, watching=0.001))
    assert all(list(arms[1].outcomes) == ["late"] * 3 for arms in found)
    assert not live.side_arms[0].circuit.open


def test_an_arm_that_could_not_be_loaded_fails_on_every_row() -> None:
    live = live_route(Says(value=0.0))
    live = replace(live, side_arms=(SideArm(arm="candidate", release="c" * 64, lane=None),))
    [arms] = ask(live, wants="candidate")
    assert {output.arm for output in answered(arms, "candidate")} == {"champion"}
    assert list(arms[1].outcomes) == ["exception"] * 3


def test_requests_of_one_turn_are_scored_in_one_call_and_each_gets_its_own_rows() -> None:
    class Doubles(Says):
        def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
            self.asked += 1
            return [(float(row["x"]) % 2, 0.9) for row in rows]  # type: ignore[arg-type]  # every x here is a number

    champion = Doubles()
    live = live_route(champion)

    async def at_once() -> list[list[ArmOutcomes]]:
        engine = Engine(WAITS)
        return await asyncio.gather(*(engine.score(live, ({"x": float(index)},), frozenset()) for index in range(20)))

    found = asyncio.run(at_once())
    assert champion.asked == 1
    assert [arms[0].outcomes[0] for arms in found] == [(float(index % 2), 0.9) for index in range(20)]


def test_a_row_that_breaks_the_model_fails_its_own_request_only() -> None:
    groups = [({"x": 1.0},), ({"x": 13.0}, {"x": 2.0}), ({"x": 3.0},)]
    assert score(Raises(on=13.0), groups, TARGET) == [(1.0, 0.9), "exception", "exception", (1.0, 0.9)]


def test_a_number_is_an_answer_of_a_regression_without_a_probability() -> None:
    target = TargetContract(name="y", task="regression")
    assert checked([(-7.25, None), (math.nan, None)], 2, target) == [(-7.25, None), "non_finite"]


def test_the_wanted_arm_is_heard_first() -> None:
    outputs = [ArmOutput(arm=arm, release="r", value=1.0) for arm in ("champion", "candidate", "control")]
    assert [getattr(answering(arm, outputs), "arm", None) for arm in ("candidate", "champion")] == ["candidate", "champion"]
    assert answering("candidate", []) is None


def test_a_success_closes_the_count_and_an_open_circuit_stays_open() -> None:
    circuit = Circuit()
    for failure in ("late",) * (FAILURES_TO_OPEN - 1) + ("", "late"):
        circuit = circuit.after(failure)
    assert not circuit.open
    for _ in range(FAILURES_TO_OPEN - 1):
        circuit = circuit.after("late")
    assert circuit.open and circuit.after("").open
