"""Where the row losses of a model are found: in its challenger's file, else in the lake; and what is said where there are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from config.settings import Settings
from homeostat.challenger_ring import LossRing, RowLosses, extended
from homeostat.challenger_state import ChallengerState, path_of, write_state
from homeostat.timed_losses import NoRows, UsualPeriod
from homeostat.worth_rows import timed_losses
from streams.adapters.lake import directory, encode, label_table, prediction_table
from streams.adapters.store import DirectoryStore
from streams.events import ArmOutput, Labelled, Predicted
from streams.lake_file import file_name
from streams.lake_row import LabelRow, PredictionRow
from streams.policy import ChallengerPolicy, Policy
from streams.prediction_id import Sealed
from streams.release import Release
from streams.release import encode as encoded
from streams.topics import LABELS, PREDICTIONS
from tests.core.trainer_rows import CONTRACT, minute

WITHOUT = Policy(challenger=ChallengerPolicy(enabled=False))
OLDER, CHAMPION = "o" * 64, "c" * 64
HOUR = timedelta(hours=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=str(tmp_path))


@pytest.fixture
def champion(settings: Settings) -> str:
    """A release whose contract is known."""
    store = DirectoryStore(settings.store)
    contract = store.put(encoded(CONTRACT))
    release = Release(model="m", artefact="a", format="f", contract=contract, profile="p", card="k", run="r")
    return store.put(encoded(release))


def keep_ring(settings: Settings, rows: int) -> None:
    """The challenger's file: each row a minute before the one in front of it, as files of labels that came late."""
    scored = RowLosses(
        at_us=np.array([minute(rows - place).timestamp() * 1e6 for place in range(rows)], dtype=np.int64),
        release=(OLDER,) * (rows // 2) + (CHAMPION,) * (rows - rows // 2),
        champion=np.ones(rows),
        challenger=np.full(rows, 0.25),
    )
    ring = extended(LossRing(), scored) if rows else LossRing()
    write_state(path_of(settings.root, "m"), ChallengerState(model="m", contract="x", challenger=b"", ring=ring))


def keep_lake(settings: Settings, contract: str, *, rows: int = 10, model: str = "m", spoilt: int = -1, label: str = "0") -> None:
    """Row n was predicted '1' by the champion at minute n, in a file of predictions and one of labels; n % 2 errs."""
    predictions, labels = [], []
    for number in range(rows):
        outputs = (
            ArmOutput(arm="control", release=OLDER, value=0.0),
            ArmOutput(arm="champion", release=CHAMPION, value=1.0 if number else None, failure="" if number else "exception"),
        )
        common = {
            "epoch": 7,
            "seq": number,
            "model": model,
            "release": CHAMPION,
            "generation": 1,
            "quarantined": number == spoilt,
        }
        predicted = Predicted(
            **common, id=str(number), at=minute(number), arm="champion", features={}, outputs=outputs, contract=contract
        )  # type: ignore[arg-type]  # one dict of the common fields
        predictions.append(PredictionRow(predicted=predicted, offset=number))
        sealed = Sealed(
            **common, step=0, arm="champion", at=minute(number), issued=datetime.now(UTC), contract=contract, champion=CHAMPION,
            outputs=(),
        )  # type: ignore[arg-type]  # fmt: skip
        # Labelled twice: what was reported last counts.
        for delay, value in ((5, "1"), (6, label if number % 2 else "1")):
            labelled = Labelled(
                id=f"{number}-{delay}", at=minute(number + delay), model=model, prediction=str(number), label=value
            )
            labels.append(LabelRow(labelled=labelled, sealed=sealed, offset=number))
    for topic, table in ((PREDICTIONS, prediction_table(predictions)), (LABELS, label_table(labels))):
        folder = directory(settings.lake, topic, 0)
        folder.mkdir(parents=True)
        (folder / file_name(0, rows)).write_bytes(encode(table))


def contract_of(settings: Settings) -> str:
    return DirectoryStore(settings.store).put(encoded(CONTRACT))


def test_the_challengers_file_comes_first_in_the_order_of_predictions(settings: Settings, champion: str) -> None:
    keep_ring(settings, 150)
    keep_lake(settings, contract_of(settings))
    rows = timed_losses(settings, "m", champion, Policy())
    assert rows.source == "losses of champion and challenger"
    assert (rows.releases[0], rows.releases[-1]) == (CHAMPION, OLDER)
    assert (np.diff(rows.at_us) > 0).all()
    assert (rows.champion.mean(), rows.challenger.mean()) == (1.0, 0.25)
    assert rows.usual_period(HOUR) == UsualPeriod(rows=60, filled_ratio=1.0)


def test_a_share_of_the_rows_is_said_to_be_a_sample(settings: Settings, champion: str) -> None:
    """The challenger drew it; what the lake says is of all rows."""
    keep_ring(settings, 150)
    keep_lake(settings, contract_of(settings))
    rows = timed_losses(settings, "m", champion, Policy(challenger=ChallengerPolicy(share=0.25)))
    assert (rows.source, rows.share) == ("losses of champion and challenger on a sample of 0.25 of the labelled rows", 0.25)
    alone = timed_losses(settings, "m", champion, Policy(challenger=ChallengerPolicy(enabled=False, share=0.25)))
    assert (alone.source, alone.share) == ("losses of the champion alone", 1.0)


def test_without_a_challenger_the_lake_says_what_the_champion_lost(settings: Settings, champion: str) -> None:
    """Its own output on each labelled row, not another arm's; the row that it failed on says nothing."""
    keep_ring(settings, 150)
    keep_lake(settings, contract_of(settings))
    rows = timed_losses(settings, "m", champion, WITHOUT)
    assert rows.source == "losses of the champion alone"
    assert rows.champion.tolist() == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    assert rows.challenger.tolist() == [0.0] * 9
    assert set(rows.releases) == {CHAMPION}
    assert rows.at_us[0] == int(minute(1).timestamp() * 1e6)
    assert rows.usual_period(HOUR) is None  # it fills no period


def test_an_empty_or_broken_file_gives_way_to_the_lake_and_is_said(settings: Settings, champion: str) -> None:
    keep_lake(settings, contract_of(settings))
    alone = "losses of the champion alone"
    assert timed_losses(settings, "m", champion, Policy()).source == f"{alone} (the challenger has scored no row yet)"
    keep_ring(settings, 0)
    assert timed_losses(settings, "m", champion, Policy()).source == f"{alone} (the challenger has scored no row yet)"
    path_of(settings.root, "m").write_bytes(b"no state")
    assert timed_losses(settings, "m", champion, Policy()).source.startswith(f"{alone} (the challenger's file cannot be used: ")


def test_rows_in_quarantine_count_for_nothing(settings: Settings, champion: str) -> None:
    keep_lake(settings, contract_of(settings), spoilt=3)
    assert len(timed_losses(settings, "m", champion, WITHOUT).releases) == 8


@pytest.mark.parametrize("what", ["nothing", "another model", "another contract", "labels outside it"])
def test_no_rows_are_said(settings: Settings, champion: str, what: str) -> None:
    if what == "another model":
        keep_lake(settings, contract_of(settings), model="other")
    elif what == "another contract":
        keep_lake(settings, "d" * 64)
    elif what == "labels outside it":
        keep_lake(settings, contract_of(settings), rows=2, label="7")
    with pytest.raises(NoRows, match="the challenger has scored no row yet; the lake has no labelled row of it yet"):
        timed_losses(settings, "m", champion, Policy())
