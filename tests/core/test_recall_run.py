"""From a recall order to its one answer: which rows are looked at, what is passed over, and what never stops the training."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import msgspec
import pytest

from streams.events import RecallFinished, TrainingFailed, TrainingFinished
from streams.policy import Policy, RecallPolicy
from streams.ports import LogUnavailable
from streams.release import encode, load_contract, load_release
from tests.core.trainer_rows import minute
from tests.core.training_shop import POLICY, MemoryStore, Rows, order, register, workshop
from trainer.dataset import LoggedRows
from trainer.run import run_order
from trainer.runcard import RunCard
from trainer.workshop import Workshop

RETURNED = Rows(number=700, inverted=500)
"""A world turned upside down for 500 rows, and back for 200."""
RECALL = msgspec.structs.replace(POLICY, recall=RecallPolicy(rows=120))


def turned(store: MemoryStore) -> tuple[str, str]:
    """A champion that knows only the world upside down, and the first release."""
    first, _ = register(store)
    result = run_order(order(first, run="run-0", as_of=504), "m", workshop(store, RETURNED))
    assert isinstance(result, TrainingFinished), result
    return result.release, first


def recalled(shop: Workshop, champion: str, *releases: str, policy: Policy = RECALL, attempt: int = 1) -> RecallFinished:
    """The answer to an order that must be answered so."""
    result = run_order(order(champion, policy=policy, recall=releases, attempt=attempt), "m", shop)
    assert isinstance(result, RecallFinished), result
    return result


def test_the_release_whose_world_is_back_is_named() -> None:
    """On the newest 120 rows, which neither was trained on; nothing is trained."""
    store = MemoryStore()
    champion, first = turned(store)
    blobs = set(store.blobs)
    said = recalled(workshop(store, RETURNED), champion, first)
    assert (said.release, said.run, said.attempt) == (first, "run-1", 1)
    assert said.numbers[f"recall_rows[{first[:12]}]"] == 120
    assert said.numbers[f"recall_gain[{first[:12]}]"] > 0.5
    assert set(store.blobs) == blobs


def test_while_the_world_stays_turned_nothing_is_called_back() -> None:
    """The same two releases on rows of the other world."""
    store = MemoryStore()
    champion, first = turned(store)
    said = recalled(workshop(store, Rows(number=700, inverted=700)), champion, first)
    assert said.release == ""
    assert "not proved better" in said.reason


def test_only_rows_count_that_neither_was_trained_on() -> None:
    """The champion was fitted up to minute 420, then nobody: forty of the newest 120 rows up to minute 459 are new to it."""
    store = MemoryStore()
    champion, first = turned(store)
    card = msgspec.json.decode(store.get(load_release(store, champion).card), type=RunCard)
    assert card.trained_until == minute(419)
    said = recalled(workshop(store, Rows(number=460, inverted=460)), champion, first)
    assert said.numbers[f"recall_rows[{first[:12]}]"] == 40
    # Asked the other way round, it is the archived release that knows the rows before.
    said = recalled(workshop(store, Rows(number=460, inverted=460)), first, champion)
    assert said.numbers[f"recall_rows[{champion[:12]}]"] == 40


def test_what_cannot_be_tried_is_passed_over_with_its_reason() -> None:
    """A release that is gone, one without its model, one of another target; the good one is found all the same."""
    store = MemoryStore()
    champion, first = turned(store)
    release = load_release(store, first)
    bare = store.put(encode(msgspec.structs.replace(release, artefact="0" * 64)))
    contract = load_contract(store, release.contract)
    other = msgspec.structs.replace(contract, target=msgspec.structs.replace(contract.target, name="z"))
    strange = store.put(encode(msgspec.structs.replace(release, contract=store.put(encode(other)))))
    said = recalled(workshop(store, RETURNED), champion, "f" * 64, bare, strange)
    assert said.release == ""
    assert said.numbers["recall_passed_over"] == 3
    assert f"{'f' * 12} is passed over" in said.reason
    assert f"{bare[:12]} is passed over" in said.reason
    assert f"{strange[:12]} is passed over: it predicts another target, 'z'" in said.reason
    assert recalled(workshop(store, RETURNED), champion, "f" * 64, bare, strange, first).release == first


def test_a_stage_is_answered_once_and_every_attempt_is() -> None:
    """A second attempt is told the first one's verdict, under its own number; the training of the run is another matter."""
    store = MemoryStore()
    champion, first = turned(store)
    shop = workshop(store, RETURNED)
    said = recalled(shop, champion, first)
    again = recalled(replace(shop, source=Rows(number=700, inverted=700)), champion, first, attempt=2)
    assert (again.release, again.reason, again.at) == (said.release, said.reason, said.at)
    assert (again.attempt, again.id != said.id) == (2, True)
    trained = run_order(order(champion), "m", shop)
    assert isinstance(trained, TrainingFinished)
    assert recalled(shop, champion, first) == said


class Away:
    """A source whose broker is away, or which is broken."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
        """Never."""
        raise self.error


def test_a_broker_that_is_away_is_told_as_such() -> None:
    """The controller may wait for it."""
    store = MemoryStore()
    champion, first = turned(store)
    result = run_order(order(champion, recall=(first,)), "m", workshop(store, Away(LogUnavailable("no broker"))))
    assert isinstance(result, TrainingFailed)
    assert (result.retryable, result.reason) == (True, "no broker")


@pytest.mark.parametrize("error", [ValueError("spoilt rows")])
def test_any_other_fault_of_the_recall_leaves_the_way_free_for_the_training(error: Exception) -> None:
    """An answer without a release."""
    store = MemoryStore()
    champion, first = turned(store)
    said = recalled(workshop(store, Away(error)), champion, first)
    assert (said.release, said.reason) == ("", "no release could be tried: spoilt rows")


def test_rows_in_quarantine_judge_nobody() -> None:
    """The dataset's own rules: those that break the contract are passed over here, too."""
    store = MemoryStore()
    champion, first = turned(store)

    class Spoilt(Rows):
        def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
            rows = super().newest(model, as_of, labelled_rows)
            spoilt = [replace(row, features={**row.features, "x": 1e9}) if row.seq >= 600 else row for row in rows.predictions]
            return replace(rows, predictions=spoilt)

    said = recalled(workshop(store, Spoilt(number=700, inverted=600)), champion, first)
    assert said.release == ""
    assert said.numbers[f"recall_champion_loss[{first[:12]}]"] < 0.3
