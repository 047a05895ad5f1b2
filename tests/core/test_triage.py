"""The triage, as stories: windows in, incidents of data bugs out, and nothing where the world changed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from drift.feature_watch import rested
from drift.incidents import CLOSING_ROWS
from drift.monitoring import State
from drift.spoilt_rows import THRESHOLD
from drift.triage import PAUSE_ROWS
from streams.contract import FeatureContract
from streams.events import DriftDetected, FeatureCounts, LossCounts, LossesGathered, QualityIncident, QuarantineRule
from streams.profile import Profile
from tests.core.fed_rows import Feed, Values, contract_of, numbers, policy_of, reference_of
from tests.core.window_log import MODEL, minute

PRICE = FeatureContract(name="price", kind="number", centre=40.0, scale=10.0)
FLAT = FeatureContract(name="flat", kind="number", centre=0.4, scale=4e-7)
BOTH = contract_of(PRICE, FLAT)


def prices(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Between 20 and 80, in cycles of 48 rows: they depend on each other in time."""
    return 45.0 + 20.0 * np.sin(np.arange(rows) * 2 * np.pi / 48) + rng.uniform(-5.0, 15.0, rows)


def rows_of(price: np.ndarray, flat: np.ndarray | None = None) -> dict[str, Values]:
    """Both columns; `flat` is .4 where not told."""
    return {"price": numbers(price), "flat": numbers(np.full(len(price), 0.4) if flat is None else flat)}


@pytest.fixture(scope="module")
def reference() -> Profile:
    return reference_of(BOTH, rows_of(prices(np.random.default_rng(1), 4_000)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(2)


@pytest.fixture
def feed(reference: Profile, rng: np.random.Generator) -> Feed:
    """Ten calm days behind it, detectors armed."""
    one = Feed(BOTH, reference)
    assert one.take(rows_of(prices(rng, 480))) == []
    return one


def spoilt(values: np.ndarray, share: float, rng: np.random.Generator, factor: float = 1000.0) -> np.ndarray:
    """Some of the rows in another unit."""
    return np.where(rng.random(len(values)) < share, values * factor, values)


@pytest.mark.parametrize("factor", [1000.0, 0.001, 60.0, 1 / 60])
def test_a_whole_feed_in_another_unit_is_called_within_48_rows(feed: Feed, rng: np.random.Generator, factor: float) -> None:
    """The rule parts spoilt rows from healthy ones, begins with the last healthy row, and names the factor."""
    last_healthy = feed.at
    (called,) = feed.take(rows_of(prices(rng, 48) * factor))
    assert called.numbers["factor"] == pytest.approx(factor)
    assert called.rule.kind == "unit" and called.rule.feature == "price" and not called.closed
    assert called.rule.since == last_healthy and called.rule.until is None
    low, high = called.rule.low, called.rule.high
    assert low is not None and high is not None
    healthy = prices(rng, 2_000)
    assert ((healthy >= low) & (healthy <= high)).all()
    assert ((healthy * factor < low) | (healthy * factor > high)).all()
    size = f"{factor:g} times too large" if factor > 1 else f"{1 / factor:g} times too small"
    assert called.reason.startswith(f"price: values {size} in 100% of ")


@pytest.mark.parametrize(("share", "within"), [(0.3, 300), (0.1, 2_000)])
def test_a_part_of_the_feed_in_another_unit_is_called_later(
    feed: Feed, rng: np.random.Generator, share: float, within: int
) -> None:
    """One source of several; the numbers say how large its share is."""
    (called,) = feed.take(rows_of(spoilt(prices(rng, within), share, rng)))
    assert called.numbers["share"] == pytest.approx(share, abs=0.15)
    assert called.numbers["statistic"] > THRESHOLD == called.numbers["threshold"]


@pytest.mark.parametrize(("share", "within"), [(1.0, 48), (0.3, 120), (0.1, 400)])
def test_missing_values_are_called(feed: Feed, rng: np.random.Generator, share: float, within: int) -> None:
    """The reference has none."""
    values = np.where(rng.random(within) < share, np.nan, prices(rng, within))
    (called,) = feed.take(rows_of(values))
    assert (called.rule.kind, called.rule.feature) == ("missing", "price")


def test_values_that_the_reference_lacks_as_often_are_no_bug(rng: np.random.Generator) -> None:
    """A fifth is missing in the reference, whole nights at once; so it goes on."""

    def nightly(rows: int) -> np.ndarray:
        return np.where(np.arange(rows) % 48 < 10, np.nan, prices(rng, rows))

    feed = Feed(BOTH, reference_of(BOTH, rows_of(nightly(4_000))))
    assert feed.take(rows_of(nightly(4_000)), rows=8) == []


@pytest.mark.parametrize(("share", "within"), [(1.0, 300), (0.5, 1_500)])
def test_a_feed_that_is_stuck_is_called(feed: Feed, rng: np.random.Generator, share: float, within: int) -> None:
    """At a value that is quite usual."""
    values = np.where(rng.random(within) < share, 51.0, prices(rng, within))
    (called,) = feed.take(rows_of(values))
    assert (called.rule.kind, called.rule.feature, called.rule.bin) == ("stuck", "price", 8)
    assert called.numbers["usual_share"] < 0.1
    assert "stuck between" in called.reason


def test_what_depends_on_itself_in_time_is_called_stuck_later(rng: np.random.Generator) -> None:
    """A price that stays for weeks in one place may do so again; the same counts in any order may not."""
    slow = np.repeat(rng.uniform(20.0, 80.0, 40), 100)
    stuck = rows_of(np.full(250, 51.0))
    patient = Feed(BOTH, reference_of(BOTH, rows_of(slow)))
    hasty = Feed(BOTH, reference_of(BOTH, rows_of(rng.permutation(slow))))
    assert [len(one.take(stuck)) for one in (patient, hasty)] == [0, 1]


def test_genuine_drift_is_drift_and_no_bug(feed: Feed, rng: np.random.Generator) -> None:
    """Prices that rise to twice what they were, within a month or overnight, are for the detectors."""
    rising = prices(rng, 1_440) * np.linspace(1.0, 2.0, 1_440)
    assert feed.take(rows_of(rising)) == []
    assert feed.take(rows_of(prices(rng, 1_440) * 2.0)) == []
    assert "price" in [one.feature for one in feed.signals if isinstance(one, DriftDetected)]


def test_a_constant_that_wakes_up_is_never_a_bug(feed: Feed, rng: np.random.Generator) -> None:
    """Not even where it comes to lie a thousand times as high for a day, later on."""
    awake = rng.uniform(0.1, 0.9, 2_000)
    assert feed.take(rows_of(prices(rng, 2_000), awake)) == []
    assert feed.take(rows_of(prices(rng, 48), np.full(48, 400.0))) == []


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_constant_in_another_unit_is_one(feed: Feed, rng: np.random.Generator, share: float) -> None:
    """Only the constant times the factor: everything else is a waking."""
    (called,) = feed.take(rows_of(prices(rng, 300), spoilt(np.full(300, 0.4), share, rng)))
    assert (called.rule.feature, called.numbers["factor"]) == ("flat", 1000.0)


def test_an_incident_closes_once_and_the_next_is_another(feed: Feed, rng: np.random.Generator) -> None:
    """Well for CLOSING_ROWS; a bug that comes back gets an id of its own."""
    (opened,) = feed.take(rows_of(prices(rng, 240) * 1000.0))
    assert feed.take(rows_of(prices(rng, CLOSING_ROWS - 24))) == []
    (closed,) = feed.take(rows_of(prices(rng, 480)))
    assert closed.closed and closed.rule.incident == opened.rule.incident
    assert closed.rule == msgspec.structs.replace(opened.rule, until=closed.at)
    assert closed.reason.startswith("price: well again, 0 of the last ")
    (again,) = feed.take(rows_of(prices(rng, 48) * 1000.0))
    assert len({opened.rule.incident, again.rule.incident}) == 2
    assert len({one.id for one in feed.incidents}) == 3


@pytest.mark.parametrize("kind", ["unit", "stuck", "missing"])
def test_an_incident_stays_open_while_a_part_of_the_feed_is_spoilt(feed: Feed, rng: np.random.Generator, kind: str) -> None:
    """And closes after that, of whatever kind it is."""
    wrong = {"unit": 40_000.0, "stuck": 51.0, "missing": np.nan}[kind]
    share = 0.5 if kind == "stuck" else 0.1
    begun = feed.take(rows_of(np.full(600, wrong)))
    assert [one.rule.kind for one in begun] == [kind]
    assert feed.take(rows_of(np.where(rng.random(3_000) < share, wrong, prices(rng, 3_000)))) == []
    (closed,) = feed.take(rows_of(prices(rng, 600)))
    assert closed.closed


def test_while_an_incident_is_open_its_detector_rests(reference: Profile, rng: np.random.Generator) -> None:
    """Neither the rows before the rule nor those that serving does not know yet make drift; afterwards drift is seen again."""
    feed = Feed(BOTH, reference, serving=8)
    feed.take(rows_of(prices(rng, 480)))
    feed.take(rows_of(prices(rng, 24 * 20) * 1000.0))
    feed.take(rows_of(prices(rng, 480)))
    assert [one.closed for one in feed.incidents] == [False, True]
    assert [one.feature for one in feed.signals if isinstance(one, DriftDetected)] == []
    feed.take(rows_of(prices(rng, 960) * 2.0))
    assert [one.feature for one in feed.signals if isinstance(one, DriftDetected)] == ["price"]


def test_a_detector_that_saw_the_bug_first_is_watched_again(feed: Feed, rng: np.random.Generator) -> None:
    """Its alarm is in the log; the next one, of real drift, is another record. An alarm before the bug stands."""
    before = feed.at
    feed.take(rows_of(prices(rng, 960) * 2.0))
    watch = feed.state.models[MODEL].watch
    assert watch is not None and "price" in watch.alarmed and "price" not in watch.states
    rule = QuarantineRule(incident="i", feature="price", kind="unit", since=before)
    after = msgspec.structs.replace(rule, since=feed.at)
    assert "price" not in rested(watch, after, feed.at).states
    again = rested(watch, rule, feed.at)
    feed.state = State(models={MODEL: msgspec.structs.replace(feed.state.models[MODEL], watch=again)})
    feed.take(rows_of(prices(rng, 960) * 2.0))
    drifts = [one for one in feed.signals if isinstance(one, DriftDetected) and one.feature == "price"]
    assert len(drifts) == len({one.id for one in drifts}) == 2


def test_without_quarantine_nothing_is_called(reference: Profile, rng: np.random.Generator) -> None:
    """The policy's word: spoilt rows are rows like any other."""
    feed = Feed(BOTH, reference, policy=policy_of(quarantine=False))
    feed.take(rows_of(prices(rng, 480)))
    assert feed.take(rows_of(prices(rng, 480) * 1000.0)) == []
    assert "price" in [one.feature for one in feed.signals if isinstance(one, DriftDetected)]


def test_a_policy_that_wants_no_quarantine_any_more_ends_what_is_open(
    feed: Feed, reference: Profile, rng: np.random.Generator
) -> None:
    """With the next window, and nothing new begins."""
    feed.take(rows_of(prices(rng, 48) * 1000.0))
    feed.learn("r1", reference, policy=policy_of(quarantine=False))
    called = feed.take(rows_of(prices(rng, 240) * 1000.0))
    assert [one.closed for one in called] == [True]
    assert called[0].rule.until == called[0].at


@pytest.mark.parametrize("mode", ["hash", "drop"])
def test_a_feature_that_is_not_logged_as_it_is_is_not_looked_at(reference: Profile, rng: np.random.Generator, mode: str) -> None:
    """Its values lack in every window, and not in the reference."""
    feed = Feed(BOTH, reference, policy=policy_of(log={"price": mode}))
    assert feed.take(rows_of(np.full(480, np.nan))) == []


def test_an_incident_of_a_feature_that_is_hidden_now_ends(feed: Feed, reference: Profile, rng: np.random.Generator) -> None:
    """Every row would count as missing, and the incident, with all its losses left out, would never end."""
    feed.take(rows_of(prices(rng, 48) * 1000.0))
    feed.learn("r1", reference, policy=policy_of(log={"price": "drop"}))
    (closed,) = feed.take(rows_of(np.full(24, np.nan)))
    assert closed.closed
    assert "no longer logged" in closed.reason


def test_an_accepted_change_is_not_looked_at_until_a_new_reference(
    feed: Feed, reference: Profile, rng: np.random.Generator
) -> None:
    """The incident is gone without a word of ours. A release that served by then learnt nothing of the change; a new one did."""
    feed.take(rows_of(prices(rng, 48) * 1000.0))
    feed.learn("r1", reference, accepted=("price",))
    assert feed.take(rows_of(prices(rng, 2_000) * 1000.0)) == []
    cents = reference_of(BOTH, rows_of(prices(rng, 4_000) * 1000.0))
    feed.learn("r2", cents)
    assert feed.take(rows_of(prices(rng, 480) * 1000.0)) == []
    assert [one.rule.feature for one in feed.take(rows_of(prices(rng, 48)))] == ["price"], (
        "another change, after the accepted one"
    )
    feed.learn("r2", cents, released=(feed.incidents[-1].rule.incident,))
    feed.learn("r1", reference)
    assert feed.take(rows_of(prices(rng, 2_000) * 1000.0)) == [], "back to the release for which it was accepted"


def test_a_released_incident_is_gone_and_its_feature_rests(feed: Feed, reference: Profile, rng: np.random.Generator) -> None:
    """No word of ours, and for PAUSE_ROWS no other incident; after them the triage looks again."""
    (opened,) = feed.take(rows_of(prices(rng, 48) * 1000.0))
    feed.learn("r1", reference, released=(opened.rule.incident, "one that is not known"))
    assert feed.take(rows_of(prices(rng, PAUSE_ROWS) * 1000.0)) == []
    (again,) = feed.take(rows_of(prices(rng, 48) * 1000.0))
    assert not again.closed and again.rule.incident != opened.rule.incident


def test_a_new_champion_ends_no_incident(feed: Feed, reference: Profile, rng: np.random.Generator) -> None:
    """The rule stands until the feed is well."""
    (opened,) = feed.take(rows_of(prices(rng, 48) * 1000.0))
    feed.learn("r2", reference)
    assert feed.take(rows_of(prices(rng, 480) * 1000.0)) == []
    (closed,) = feed.take(rows_of(prices(rng, 480)))
    assert (closed.rule.incident, closed.release) == (opened.rule.incident, "r2")


def test_losses_of_the_time_before_the_rule_count_for_nothing(reference: Profile, rng: np.random.Generator) -> None:
    """Labels of unmarked spoilt rows are in no period, whenever they come; the other rows are, and the periods close."""
    feed = Feed(BOTH, reference, serving=3)
    feed.take(rows_of(prices(rng, 480)))
    feed.take(rows_of(prices(rng, 240) * 1000.0))
    called_at = feed.incidents[0].at
    end = feed.row
    feed.take(rows_of(prices(rng, 120)))
    first = minute(0)
    for row in range(end + 60):
        losses = (LossCounts(minute=first + row, release="r1", n=1, loss=0, loss_squared=0),)
        if row < 480 or row >= end or (row < 480 + 24 * 8 and not _is_marked(feed, row)):
            feed.fold(feed.cut.window("labels", hours=row / 60, losses=losses))
    feed.fold(feed.cut.window("labels", hours=(end + 60) / 60))
    periods = {one.period - first // 60: (one.n, one.made) for one in feed.signals if isinstance(one, LossesGathered)}
    assert periods == dict.fromkeys((*range(7), 12), (60, 60)) | {7: (59, 59)}
    assert called_at > feed.incidents[0].rule.since


def _is_marked(feed: Feed, row: int) -> bool:
    """Whether serving knew the rule when it answered this row: monitors then give its label no losses."""
    opened = (feed.incidents[0].at - feed.incidents[0].rule.since).total_seconds() // 60
    return row >= 480 + opened + 2 * 24


def test_partitions_add(reference: Profile) -> None:
    """The same rows in windows that come one by one, or from four partitions in another order: the same calls, a little later."""
    calls = []
    for partitions, order in ((1, (0, 1, 2, 3)), (4, (3, 1, 0, 2)), (4, (2, 3, 1, 0))):
        rng = np.random.default_rng(3)
        feed = Feed(BOTH, reference)
        values = np.concatenate([prices(rng, 480), spoilt(prices(rng, 960), 0.5, rng), prices(rng, 960)])
        for first in range(0, len(values), 96):
            columns = rows_of(values[first : first + 96])
            shards = [{name: column[shard::4] for name, column in columns.items()} for shard in range(4)]
            windows = [feed.window(shard, partitions) for shard in shards]
            for place in order if partitions > 1 else range(4):
                feed.fold(windows[place])
        calls.append([(one.rule.feature, one.rule.kind, one.closed, one.numbers.get("factor")) for one in feed.incidents])
    assert calls[0] == calls[1] == calls[2] == [("price", "unit", False, 1000.0), ("price", "unit", True, None)]


@pytest.mark.parametrize("cut_after", [3, 21, 24, 40, 52])
def test_a_fold_that_is_cut_by_a_snapshot_calls_the_same(reference: Profile, cut_after: int) -> None:
    """Encode the state anywhere, decode it, go on: every later record is the same, byte for byte."""
    told = []
    for restarts in (False, True):
        rng = np.random.default_rng(4)
        feed = Feed(BOTH, reference)
        values = np.concatenate([prices(rng, 480), spoilt(prices(rng, 480), 0.3, rng), prices(rng, 480)])
        for place in range(len(values) // 24):
            if restarts and place == cut_after:
                feed.state = msgspec.msgpack.decode(msgspec.msgpack.encode(feed.state), type=State)
            feed.take(rows_of(values[place * 24 : place * 24 + 24]))
        told.append([msgspec.json.encode(one) for one in feed.signals])
    assert told[0] == told[1]
    assert sum(b"QualityIncident" in one for one in told[0]) == 2


def test_no_window_is_too_odd(rng: np.random.Generator) -> None:
    """Any bins, of any contract, in any mixture, named or numbered: the state stays bounded and nothing is raised."""
    kind = FeatureContract(name="kind", kind="category")
    yes = FeatureContract(name="yes", kind="boolean")
    contract = contract_of(PRICE, FLAT, kind, yes)
    columns = {**rows_of(prices(rng, 400)), "kind": ["a"] * 400, "yes": [True, False] * 200}
    feed = Feed(contract, reference_of(contract, columns))  # type: ignore[arg-type]
    names = (*(feature.name for feature in contract.features), "unheard of")
    for step in range(1_500):
        window = feed.cut.window("predictions", int(rng.integers(3)), hours=float(rng.normal(0, 1e4)), rows=50)
        parts = [_odd_counts(rng, names), _odd_counts(rng, names)]
        feed.fold(msgspec.structs.replace(window, features=parts[0], quarantined=parts[1], quarantined_rows=9))
        if step % 100 == 0:
            feed.learn(
                "r1", feed.item.profile or Profile(model="", contract="", rows=0, features=()), accepted=("price",) * (step > 900)
            )
    assert feed.incidents
    assert len(msgspec.msgpack.encode(feed.state.models[MODEL].triage)) < 60_000


def _odd_counts(rng: np.random.Generator, names: tuple[str, ...]) -> tuple[FeatureCounts, ...]:
    def bins() -> dict[int, int]:
        spread = float(rng.choice([1.0, 20.0, 1e4, 1e8]))
        return {int(rng.normal(0, spread)): int(rng.integers(1, 60)) for _ in range(int(rng.integers(0, 6)))}

    return tuple(
        FeatureCounts(
            contract=str(rng.choice(["c" * 64, "another"])),
            feature=str(name),
            bins=bins(),
            missing=int(rng.integers(0, 2)) * int(rng.integers(0, 50)),
            invalid=int(rng.integers(0, 5)),
        )
        for name in rng.choice(names, size=int(rng.integers(0, 6)))
    )


def test_an_incident_derives_its_ids_from_its_cause(reference: Profile) -> None:
    """The same windows give the same records; a copy that reads them again tells nothing new."""

    def told() -> list[QualityIncident]:
        rng = np.random.default_rng(5)
        feed = Feed(BOTH, reference)
        feed.take(rows_of(np.concatenate([prices(rng, 240), prices(rng, 240) * 1000.0, prices(rng, 480)])))
        return feed.incidents

    assert told() == told()
    assert [one.closed for one in told()] == [False, True]
