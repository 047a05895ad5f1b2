"""Stories of one partition: which windows come out, what they count, and that reading again changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.events import UNIT, HeartBeaten, Labelled, Predicted, WindowCounted
from streams.partition_fold import (
    Known,
    Output,
    PartitionState,
    RepeatDropped,
    StretchEnded,
    WindowEnded,
)
from streams.ports import Message
from streams.repeats import Page, PageName, Repeats
from streams.topics import LABELS, PREDICTIONS
from streams.window import latency_bin
from tests.core.traffic import Traffic, fold, message, replaced

T = Traffic()
BEAT = HeartBeaten()


def windows(outputs: list[Output]) -> list[WindowCounted]:
    return [counted for output in outputs if isinstance(output, WindowEnded) for counted in output.counted]


def predictions(*at_ms: int, first: int = 0) -> list[Message]:
    """Rows 0, 1, … taken by the broker at these times."""
    return [message(PREDICTIONS, first + n, ms, T.predicted(first + n)) for n, ms in enumerate(at_ms)]


@pytest.mark.parametrize(
    ("story", "at_ms", "spans"),
    [
        ("a window of one tick stays open", (0, 400, 999), []),
        ("it ends before the first record of a later tick", (0, 999, 1_000), [(0, 2)]),
        ("ticks with nothing in them make no window", (0, 5_000, 9_000), [(0, 1), (1, 2)]),
        ("a broker clock that steps back ends nothing", (5_500, 4_000, 5_900, 6_000), [(0, 3)]),
        ("a window of five records is full", (0, 1, 2, 3, 4), [(0, 5)]),
        ("the next one begins at once, in the same tick", (0, 1, 2, 3, 4, 5, 6, 1_000), [(0, 5), (5, 7)]),
    ],
)
def test_where_windows_end(story: str, at_ms: tuple[int, ...], spans: list[tuple[int, int]]) -> None:
    """Windows are cut by the broker's clock and by number, at the record that says so."""
    _, outputs = fold(predictions(*at_ms), T.known(), T.rules(maximum_records=5))
    assert [(w.first_offset, w.end_offset) for w in windows(outputs)] == spans, story


def test_a_heartbeat_ends_what_is_over_and_opens_nothing() -> None:
    """A heartbeat of a later tick ends the window, of a later lake tick the stretch; of the same tick nothing."""
    log = [*predictions(0, 10), message(PREDICTIONS, 2, 500, BEAT), message(PREDICTIONS, 3, 1_000, BEAT)]
    state, outputs = fold(log, T.known(), T.rules())
    assert [(w.first_offset, w.end_offset, w.rows) for w in windows(outputs)] == [(0, 2, 2)]
    assert state.window is None and state.stretch is not None and state.next_offset == 4
    state, outputs = fold([message(PREDICTIONS, 4, 60_000, BEAT)], T.known(), T.rules(), state)
    assert [(o.stretch.first_offset, o.stretch.end_offset) for o in outputs if isinstance(o, StretchEnded)] == [(0, 2)]
    assert state.window is None and state.stretch is None
    state, outputs = fold([message(PREDICTIONS, 5, 200_000, BEAT)], T.known(), T.rules(), state)
    assert outputs == [] and state.window is None


def test_a_model_s_windows_form_a_chain() -> None:
    """Each window names the first offset of the same model's window before it, whatever other models do between."""
    other = Traffic(model="other")
    known = Known(
        contracts={**T.known().contracts, **other.known().contracts}, releases={**T.known().releases, **other.known().releases}
    )
    rows = [T, other, T, T]
    log = [message(PREDICTIONS, n, n * 1_000, traffic.predicted(n)) for n, traffic in enumerate(rows)]
    log.append(message(PREDICTIONS, 4, 9_000, BEAT))
    _, outputs = fold(log, known, T.rules())
    assert [(w.model, w.first_offset, w.previous_first_offset) for w in windows(outputs)] == [
        ("electricity", 0, -1),
        ("other", 1, -1),
        ("electricity", 2, 0),
        ("electricity", 3, 2),
    ]
    assert len({w.id for w in windows(outputs)}) == 4


def test_what_a_window_of_predictions_counts() -> None:
    """Arms with their failures and latencies, rows made by minute, feature bins with missing and invalid apart."""
    late = msgspec.structs.replace(T.outputs(1, candidate=True)[1], value=None, confidence=None, failure="late")
    broken = msgspec.structs.replace(late, failure="exception")
    rows = [
        T.predicted(0, candidate=True),
        replaced(T.predicted(1), outputs=(T.outputs(1)[0], late)),
        replaced(T.predicted(2, features={"price": "much", "zone": None}), outputs=(T.outputs(2)[0], broken)),
        replaced(T.predicted(3, features={"price": 1e308}), outputs=T.outputs(3, candidate=True)),
    ]
    log = [message(PREDICTIONS, n, n, row) for n, row in enumerate(rows)] + [message(PREDICTIONS, 4, 1_000, BEAT)]
    _, outputs = fold(log, T.known(), T.rules())
    (window,) = windows(outputs)
    assert window.at == T.event_time(3) and window.rows == 4
    by_arm = {served.arm: served for served in window.served}
    champion, candidate = by_arm["champion"], by_arm["candidate"]
    assert (champion.answered, champion.scored, champion.failures, champion.late) == (4, 4, 0, 0)
    assert (candidate.answered, candidate.scored, candidate.failures, candidate.late) == (0, 2, 1, 1)
    assert champion.outputs == {0: 2, 1: 2} and candidate.outputs == {1: 2}
    assert champion.latency == Counter(latency_bin(us) for us in (1_000, 1_001, 1_002, 1_003)) and candidate.latency == {}
    minute = int(T.event_time(0).timestamp()) // 60
    made = {(m.minute - minute, m.release): m.n for m in window.made}
    assert made == {(0, T.champion): 3, (1, T.champion): 1, (0, T.candidate): 1, (1, T.candidate): 1}
    price, zone = window.features
    assert (price.feature, price.missing, price.invalid, sum(price.bins.values())) == ("price", 0, 1, 3)
    assert (zone.feature, zone.missing, zone.invalid, sum(zone.bins.values())) == ("zone", 2, 0, 2)


def test_a_release_that_is_two_arms_made_one_prediction() -> None:
    """A release rolled back to may be champion and control at once: its rows are made, and lose, once."""
    both = (T.outputs(1)[0], msgspec.structs.replace(T.outputs(1)[0], arm="control"))
    log = [message(PREDICTIONS, 0, 0, replaced(T.predicted(1), outputs=both)), message(PREDICTIONS, 1, 1_000, BEAT)]
    (window,) = windows(fold(log, T.known(), T.rules())[1])
    assert [(made.release, made.n) for made in window.made] == [(T.champion, 1)] and len(window.served) == 2


def test_a_constant_contract_with_a_tiny_scale_meets_a_huge_value() -> None:
    """A finite value beyond the grid's last number counts as invalid; it does not stop the partition."""
    traffic = Traffic()
    features = (msgspec.structs.replace(traffic.contract.features[0], scale=1e-9), traffic.contract.features[1])
    known = traffic.known()
    known.contracts[traffic.contract_digest] = msgspec.structs.replace(traffic.contract, features=features)
    log = [message(PREDICTIONS, 0, 0, traffic.predicted(0, features={"price": 1e308})), message(PREDICTIONS, 1, 1_000, BEAT)]
    _, outputs = fold(log, known, traffic.rules())
    assert windows(outputs)[0].features[0].invalid == 1


def test_what_a_window_of_labels_counts() -> None:
    """Losses by the minute of the prediction, for each arm with an output; pairs of the candidate against the champion."""
    # Label 1: the champion (seq % 2) is wrong on even rows, the candidate never. Label 0: the candidate is wrong always.
    rows = [
        T.labelled(0, 1.0, candidate=True),
        T.labelled(1, "1", candidate=True),
        T.labelled(3, 0.0, candidate=True),
        T.labelled(4, True),
    ]
    log = [message(LABELS, n, n, row) for n, row in enumerate(rows)] + [message(LABELS, 4, 1_000, BEAT)]
    _, outputs = fold(log, T.known(), T.rules())
    (window,) = windows(outputs)
    assert window.at == T.event_time(4) + timedelta(hours=1) and window.rows == 4
    minute = int(T.event_time(0).timestamp()) // 60
    losses = {(loss.minute - minute, loss.release): (loss.n, loss.loss, loss.loss_squared) for loss in window.losses}
    assert losses == {
        (0, T.champion): (2, UNIT, UNIT),
        (0, T.candidate): (2, 0, 0),
        (1, T.champion): (2, 2 * UNIT, 2 * UNIT),
        (1, T.candidate): (1, UNIT, UNIT),
    }
    (pair,) = window.pairs
    assert (pair.arm, pair.release, pair.champion, pair.generation, pair.step) == ("candidate", T.candidate, T.champion, 1, 0)
    assert (pair.n, pair.worse, pair.better, pair.difference, pair.difference_squared) == (3, 0, 1, -UNIT, UNIT)


def test_a_repeat_is_dropped_and_counted_whenever_it_comes() -> None:
    """The same epoch and sequence number once more is no row, in the same window, a later one, or a later lake file."""
    log = [message(PREDICTIONS, n, ms, T.predicted(5)) for n, ms in enumerate((0, 1, 2_000, 70_000))]
    log.append(message(PREDICTIONS, 4, 80_000, BEAT))
    _, outputs = fold(log, T.known(), T.rules())
    assert [(w.rows, w.repeated) for w in windows(outputs)] == [(1, 1), (0, 1), (0, 1)]
    assert sum(isinstance(output, RepeatDropped) for output in outputs) == 3
    assert [row.offset for output in outputs if isinstance(output, WindowEnded) for row in output.rows] == [0]


def test_repeats_are_remembered_for_the_label_horizon() -> None:
    """What was seen is forgotten once nothing of its page came for the horizon: memory is bounded by age."""
    day = 86_400_000
    log = [
        message(PREDICTIONS, 0, 0, T.predicted(5)),
        message(PREDICTIONS, 1, 0, replaced(T.predicted(5), epoch=78)),
        message(PREDICTIONS, 2, 29 * day, replaced(T.predicted(6), epoch=78)),
        message(PREDICTIONS, 3, 31 * day, replaced(T.predicted(5), epoch=79)),
        message(PREDICTIONS, 4, 31 * day + 70_000, BEAT),
    ]
    state, _ = fold(log, T.known(), T.rules())
    assert sorted(name.epoch for name in state.repeats.pages) == [78, 79]


steps = st.lists(
    st.tuples(
        st.integers(0, 12),  # sequence number: repeats are likely
        st.sampled_from([0, 1, 300, 700, 5_000, 61_000]),  # broker time since the record before
        st.sampled_from(["row", "row", "row", "candidate", "spoilt", "bad", "beat"]),
        st.integers(1, 3),  # offsets: gaps, as transaction markers leave them
    ),
    max_size=60,
)


def log_of(topic: str, drawn: list[tuple[int, int, str, int]]) -> list[Message]:
    log, offset, ms = [], 0, 0
    for seq, pause, kind, gap in drawn:
        offset, ms = offset + gap, ms + pause
        make = T.predicted if topic == PREDICTIONS else T.labelled
        record = BEAT if kind == "beat" else b"bad" if kind == "bad" else row_of(make, seq, kind)
        log.append(message(topic, offset, ms, record))
    return log


def row_of(make: Callable[..., Predicted | Labelled], seq: int, kind: str) -> Predicted | Labelled:
    return make(seq, candidate=kind == "candidate", quarantined=kind == "spoilt")


def restarted(topic: str, ended: StretchEnded, files: dict[PageName, bytes]) -> PartitionState:
    """The state that a restart has at the end of a stretch: bitmaps from the files of their pages, the chain from the record."""
    files.update({page.name: page.bits for page in ended.pages if page.bits is not None})
    pages = {page.name: Page(bytearray(files[page.name]), page.touched_ms, dirty=False) for page in ended.pages}
    chain, offset = dict(ended.chain), ended.stretch.end_offset
    return PartitionState(topic=topic, partition=0, next_offset=offset, chain=chain, repeats=Repeats(pages))


@given(st.sampled_from([PREDICTIONS, LABELS]), steps, st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_reading_again_gives_the_same(topic: str, drawn: list[tuple[int, int, str, int]], data: st.DataObject) -> None:
    """From any lake boundary on, a second reading gives the same windows, rows and files; every row is in one window."""
    log, rules = log_of(topic, drawn), T.rules(maximum_records=7, maximum_stretch=20)
    state, outputs = PartitionState(topic=topic, partition=0), []
    boundaries = [(0, PartitionState(topic=topic, partition=0))]
    files: dict[PageName, bytes] = {}
    for each in log:
        state, new = fold([each], T.known(), rules, state)
        for output in new:
            outputs.append(output)
            if isinstance(output, StretchEnded):
                boundaries.append((len(outputs), restarted(topic, output, files)))
    done, start = data.draw(st.sampled_from(boundaries))
    _, again = fold([each for each in log if each.offset >= start.next_offset], T.known(), rules, start)
    wire = msgspec.msgpack.encode
    assert [wire(w) for w in windows(again)] == [wire(w) for w in windows(outputs[done:])]
    assert [o.stretch for o in again if isinstance(o, StretchEnded)] == [
        o.stretch for o in outputs[done:] if isinstance(o, StretchEnded)
    ]
    counted = Counter(row.offset for o in outputs if isinstance(o, WindowEnded) for row in o.rows)
    assert all(n == 1 for n in counted.values())
    assert sum(w.rows for w in windows(outputs)) == sum(counted.values())
