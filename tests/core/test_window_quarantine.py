"""Rows in quarantine are counted apart: that they came, who answered them, what their features were; nothing that judges anyone."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.events import HeartBeaten, WindowCounted
from streams.partition_fold import Output, Refusal, WindowEnded
from streams.ports import Message
from streams.topics import LABELS, PREDICTIONS
from tests.core.traffic import Traffic, fold, message, replaced

T = Traffic()
BEAT = HeartBeaten()


def windows(topic: str, records: list[Any], **rules: int) -> list[WindowCounted]:
    """Of these records, one a millisecond."""
    return [w for output in outputs(topic, records, **rules) if isinstance(output, WindowEnded) for w in output.counted]


def outputs(topic: str, records: list[Any], **rules: int) -> list[Output]:
    log: list[Message] = [message(topic, n, n, record) for n, record in enumerate([*records])]
    log.append(message(topic, len(log), 5_000, BEAT))
    return fold(log, T.known(), T.rules(**rules))[1]


def predictions(spoilt: set[int], rows: int = 6) -> list[Any]:
    """Rows of both arms; the candidate is late on every third."""
    found = []
    for seq in range(rows):
        record = T.predicted(seq, candidate=True, quarantined=seq in spoilt)
        if seq % 3 == 0:
            late = msgspec.structs.replace(record.outputs[1], value=None, confidence=None, failure="late")
            record = replaced(record, outputs=(record.outputs[0], late))
        found.append(record)
    return found


def labels(spoilt: set[int], rows: int = 6) -> list[Any]:
    return [T.labelled(seq, candidate=True, quarantined=seq in spoilt) for seq in range(rows)]


def test_spoilt_predictions_are_counted_apart() -> None:
    """Against the control, where the same rows are not spoilt: the same rows answered, and none of them made or in `features`."""
    (window,), (control,) = windows(PREDICTIONS, predictions({0, 1, 5})), windows(PREDICTIONS, predictions(set()))
    assert (window.rows, window.quarantined_rows) == (6, 3)
    assert (control.rows, control.quarantined_rows, control.quarantined) == (6, 0, ())
    for ours, theirs in zip(window.served, control.served, strict=True):
        assert msgspec.structs.replace(ours, outputs={}) == msgspec.structs.replace(theirs, outputs={})
    assert said(control) == made(control) == {T.champion: 6, T.candidate: 4}
    assert said(window) == made(window) == {T.champion: 3, T.candidate: 2}


def said(window: WindowCounted) -> dict[str, int]:
    """By release, how many outputs are in its distribution."""
    return {served.release: sum(served.outputs.values()) for served in window.served}


def made(window: WindowCounted) -> Counter[str]:
    """By release, how many rows it made."""
    counts: Counter[str] = Counter()
    for one in window.made:
        counts[one.release] += one.n
    return counts


def test_their_features_and_the_others_make_up_all() -> None:
    """By contract and feature, as the others are; what is missing in one is not missing in the other."""
    spoilt = replaced(T.predicted(7, features={"price": None, "zone": "south"}, quarantined=True), epoch=78)
    (window,) = windows(PREDICTIONS, [*predictions({2}), spoilt])
    (control,) = windows(PREDICTIONS, [*predictions(set()), replaced(spoilt, quarantined=False)])
    assert [(counts.contract, counts.feature) for counts in window.quarantined] == [
        (T.contract_digest, "price"),
        (T.contract_digest, "zone"),
    ]
    for good, bad, both in zip(window.features, window.quarantined, control.features, strict=True):
        assert Counter(good.bins) + Counter(bad.bins) == Counter(both.bins)
        assert (sum(bad.bins.values()), bad.missing) == ((1, 1) if bad.feature == "price" else (2, 0))
        assert (good.missing + bad.missing, good.invalid + bad.invalid) == (both.missing, both.invalid)


def test_spoilt_labels_are_counted_and_lose_nothing() -> None:
    """Neither losses nor pairs; the control has them."""
    (window,), (control,) = windows(LABELS, labels({0, 1, 2})), windows(LABELS, labels(set()))
    assert (window.rows, window.quarantined_rows) == (6, 3)
    assert sum(loss.n for loss in window.losses if loss.release == T.champion) == 3
    assert sum(loss.n for loss in control.losses if loss.release == T.champion) == 6
    assert (window.pairs[0].n, control.pairs[0].n) == (3, 6)
    (only,) = windows(LABELS, labels(set(range(6))))
    assert (only.rows, only.quarantined_rows, only.losses, only.pairs) == (6, 6, (), ())
    assert only.at == control.at


def test_a_spoilt_row_is_a_row_like_any_other_to_the_fold() -> None:
    """It enters the lake, its repeats are dropped, and a label that the contract does not know is refused."""
    found = outputs(LABELS, [*labels({0, 1}, 2), *labels({1}, 2), T.labelled(3, "maybe", quarantined=True)])
    (ended,) = (output for output in found if isinstance(output, WindowEnded))
    assert (len(ended.rows), ended.counted[0].rows, ended.counted[0].repeated) == (2, 2, 2)
    assert [output.refused.reason for output in found if isinstance(output, Refusal)] == ["bad_label"]


@given(
    st.sampled_from([PREDICTIONS, LABELS]),
    st.lists(st.tuples(st.integers(0, 12), st.booleans(), st.booleans()), max_size=40),
    st.integers(1, 9),
)
@settings(max_examples=80, deadline=None, derandomize=True)
def test_wherever_windows_are_cut_the_counts_add_up_to_the_same(
    topic: str, drawn: list[tuple[int, bool, bool]], cut: int
) -> None:
    """Spoilt rows among the others, repeats likely: many small windows count what one large one does."""
    make = T.predicted if topic == PREDICTIONS else T.labelled
    records = [make(seq, candidate=candidate, quarantined=spoilt) for seq, candidate, spoilt in drawn]
    assert totals(windows(topic, records, maximum_records=cut)) == totals(windows(topic, records))


def totals(found: list[WindowCounted]) -> Counter[tuple[object, ...]]:
    """Every count of these windows by its name."""
    counts: Counter[tuple[object, ...]] = Counter()
    for window in found:
        counts.update({("rows",): window.rows, ("repeated",): window.repeated, ("spoilt",): window.quarantined_rows})
        for name in ("features", "quarantined"):
            for one in getattr(window, name):
                counts.update({(name, one.feature, place): n for place, n in one.bins.items()})
                counts.update({(name, one.feature, "missing"): one.missing})
        for served in window.served:
            counts.update({("answered", served.arm): served.answered, ("scored", served.arm): served.scored})
            counts.update({("output", served.arm, place): n for place, n in served.outputs.items()})
        counts.update({("made", made.minute, made.release): made.n for made in window.made})
        counts.update(
            {("loss", loss.minute, loss.release, what): getattr(loss, what) for loss in window.losses for what in ("n", "loss")}
        )
        counts.update({("pair", pair.arm, what): getattr(pair, what) for pair in window.pairs for what in ("n", "difference")})
    return +counts
