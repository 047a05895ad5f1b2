"""The triage on the real electricity stream: nothing there is a bug, in order or shuffled, and planted bugs are found.

Its price moves to where it never was, three features wake up from a constant on 5 May 1997, one of them then stands still for a
week, and prices soar to ten times their usual size for half a day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from drift import triage
from drift.incidents import Call
from drift.triage import Triage
from homeostat.electricity import FEATURES, Columns, load
from streams.contract import BINS_PER_SCALE, Contract
from streams.events import FeatureCounts, MadeCounts, WindowCounted, derived_id
from streams.policy import Policy
from streams.profile import Profile
from streams.reference import reference_profile
from trainer.contract_inference import infer_contract

SOURCE = Path(__file__).parents[2] / "examples" / "electricity" / "electricity.csv.gz"
PROFILE_ROWS = 4_531


@cache
def stream() -> Columns:
    return load(SOURCE)


def first_contract(columns: Columns) -> Contract:
    """As it is inferred from the first tenth."""
    table = {name: columns.features[: columns.first_rows, place].tolist() for place, name in enumerate(FEATURES)}
    return infer_contract(
        "electricity", {**table, "class": columns.labels[: columns.first_rows].astype(str).tolist()}, "class", "classification"
    )


def profile_before(columns: Columns, contract: Contract, row: int) -> Profile:
    """Of a release trained on the rows before this one."""
    rows = slice(row - PROFILE_ROWS, row)
    table = {name: columns.features[rows, place].tolist() for place, name in enumerate(FEATURES)}
    outputs = columns.labels[rows].astype(float).tolist()
    return reference_profile(model=contract.model, contract_digest="c", contract=contract, columns=table, outputs=outputs)


def binned(contract: Contract, features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Grid bins of all rows (`streams.contract.bin_of`, at once)."""
    centre, scale = (np.array([getattr(one, name) for one in contract.features]) for name in ("centre", "scale"))
    places: NDArray[np.float64] = np.rint(np.arcsinh((features - centre) / scale) * BINS_PER_SCALE)
    return places.astype(np.int64)


def called(
    columns: Columns, contract: Contract, bins: NDArray[np.int64], *, rows: range, champions: Sequence[int] = (), seed: int = 0
) -> list[tuple[int, Call]]:
    """Calls over these rows, each with the row at which it came; a new champion, trained on the newest rows, at some."""
    rng = np.random.default_rng(seed)
    state, left = Triage(), [PROFILE_ROWS, *champions]
    calls: list[tuple[int, Call]] = []
    row = rows.start
    while row < rows.stop:
        while left and left[0] <= row:
            profile = profile_before(columns, contract, left[0])
            state = triage.fitted(state, release=f"r{left[0]}", profile=profile, contract=contract, policy=Policy())
            del left[0]
        end = min(row + int(rng.integers(24, 97)), rows.stop)
        state, seen = triage.fold(state, window(columns, contract, bins, row, end), enabled=True)
        calls += [(end, call) for call in seen.calls]
        row = end
    return calls


def window(columns: Columns, contract: Contract, bins: NDArray[np.int64], row: int, end: int) -> WindowCounted:
    """Rows as the monitor would count them."""
    features = tuple(
        FeatureCounts(contract="c", feature=one.name, bins=dict(sorted(Counter(bins[row:end, place].tolist()).items())), missing=0, invalid=0)
        for place, one in enumerate(contract.features)
    )  # fmt: skip
    made = (MadeCounts(minute=int(columns.at(row).timestamp()) // 60, release="r", n=end - row),)
    return WindowCounted(
        id=derived_id("window", row), at=columns.at(end - 1), model=contract.model, topic="predictions", partition=0,
        first_offset=row, end_offset=end, previous_first_offset=-1, tick=row, rows=end - row, features=features, made=made,
    )  # fmt: skip


@pytest.mark.parametrize("every", [0, 9_000])
def test_nothing_in_the_stream_is_a_bug(every: int) -> None:
    """Under the first champion for ever, and under champions trained on the newest rows every so often."""
    columns = stream()
    contract = first_contract(columns)
    champions = range(PROFILE_ROWS + every, len(columns), every) if every else ()
    bins = binned(contract, columns.features)
    assert called(columns, contract, bins, rows=range(PROFILE_ROWS, len(columns)), champions=champions) == []


@pytest.mark.parametrize("seed", [0, 1])
def test_nothing_in_the_shuffled_stream_is_a_bug(seed: int) -> None:
    """Rows in random order do not depend on each other: evidence counts in full, and still none is there."""
    columns = stream().shuffled(seed)
    contract = first_contract(columns)
    bins = binned(contract, columns.features)
    assert called(columns, contract, bins, rows=range(PROFILE_ROWS, len(columns))) == []


@pytest.mark.parametrize(("onset", "champion"), [(9_000, 4_531), (30_000, 4_531), (30_000, 29_000)])
@pytest.mark.parametrize(
    ("feature", "factor", "share", "kind", "within"),
    [
        ("nswprice", 1000.0, 1.0, "unit", 120),
        ("nswprice", 1000.0, 0.3, "unit", 300),
        ("nswdemand", 60.0, 1.0, "unit", 120),
        ("nswdemand", 1000.0, 1.0, "unit", 120),
        ("nswdemand", 60.0, 0.3, "unit", 300),
        ("nswdemand", 0.001, 1.0, "stuck", 300),
        ("period", 1000.0, 1.0, "unit", 120),
        ("period", 0.001, 1.0, "stuck", 200),
    ],
)
def test_planted_bugs_are_found(
    onset: int, champion: int, feature: str, factor: float, share: float, kind: str, within: int
) -> None:
    """Under an old reference and a new one; shrunk to where a reference begins, a feed is called stuck there."""
    columns = stream()
    contract = first_contract(columns)
    features = columns.features.copy()
    spoilt = slice(onset, onset + within)
    hit = np.random.default_rng(onset).random(within) < share
    features[spoilt, FEATURES.index(feature)] *= np.where(hit, factor, 1.0)
    champions = [champion] if champion > PROFILE_ROWS else []
    rows = range(onset - 1_000, onset + within + 600)
    calls = called(columns, contract, binned(contract, features), rows=rows, champions=champions)
    assert [(call.rule.feature, call.rule.kind, call.closed) for _, call in calls] == [
        (feature, kind, False),
        (feature, kind, True),
    ]
    if kind == "unit" and share == 1.0:
        assert calls[0][1].numbers["factor"] == factor
    assert calls[0][1].rule.since <= columns.at(onset) or kind == "stuck"
