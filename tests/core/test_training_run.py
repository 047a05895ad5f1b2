"""From an order to its one result: what is stored, what is refused, and what may be tried again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from streams.encoding import Matrix
from streams.events import TrainingFailed, TrainingFinished, derived_id
from streams.policy import Policy
from streams.ports import LogUnavailable
from streams.release import load_contract, load_profile, load_release
from tests.core.trainer_rows import minute
from tests.core.training_shop import POLICY, MemoryStore, Rows, order, register, workshop
from trainer.adapters.local_pool import LocalPool
from trainer.dataset import LoggedRows, Manifest
from trainer.run import run_order
from trainer.runcard import RunCard
from trainer.trial import PoolFailed, TrialRequest, TrialResult
from trainer.workshop import Workshop


def changed(**training: object) -> Policy:
    """The policy with other training numbers."""
    return msgspec.structs.replace(POLICY, training=msgspec.structs.replace(POLICY.training, **training))


def finished(store: MemoryStore, champion: str, policy: Policy = POLICY, source: Rows | None = None) -> TrainingFinished:
    """The result of an order that must finish."""
    result = run_order(order(champion, policy=policy), "m", workshop(store, source))
    assert isinstance(result, TrainingFinished), result
    return result


def test_an_order_ends_in_a_release_that_names_everything_it_serves_with() -> None:
    """Artefact, the champion's contract, a new profile, the card, the parent; all of it in the store."""
    store = MemoryStore()
    champion, contract = register(store)
    result = finished(store, champion)
    release = load_release(store, result.release)
    assert result.passed
    assert result.id == derived_id("run-1", "finished")
    assert (release.model, release.parent, release.run, release.contract) == ("m", champion, "run-1", contract)
    assert load_profile(store, release.profile).rows == 400
    assert release.card == result.card
    assert store.get(release.artefact)


def test_the_newest_rows_are_kept_from_the_fit_and_judged_on() -> None:
    """Window 400, holdout 80: fitted on 320, judged on 80, dataset and manifest in the store."""
    store = MemoryStore()
    champion, _ = register(store)
    result = finished(store, champion)
    described = msgspec.json.decode(store.get(result.dataset), type=Manifest)
    assert (result.rows, described.rows, described.holdout_rows) == (320, 400, 80)
    assert (described.first_at, described.last_at) == (minute(100), minute(499))
    assert result.numbers["gate_rows"] == 80
    assert store.has(described.data)


def test_the_same_order_twice_gives_the_same_result() -> None:
    """The second is answered from the index: clocks differ, the result does not, and nothing is stored anew."""
    store = MemoryStore()
    champion, _ = register(store)
    shop = workshop(store)
    first = run_order(order(champion), "m", shop)
    blobs = set(store.blobs)
    assert run_order(order(champion, attempt=2), "m", shop) == first
    assert set(store.blobs) == blobs


def test_the_same_order_elsewhere_makes_the_same_model() -> None:
    """All but the card (which has clocks in it) is equal, byte for byte, on a machine that knows nothing of the first run."""
    releases = []
    for _ in range(2):
        store = MemoryStore()
        champion, _ = register(store)
        releases.append(load_release(store, finished(store, champion).release))
    assert msgspec.structs.replace(releases[0], card="") == msgspec.structs.replace(releases[1], card="")
    assert releases[0].card != releases[1].card


def test_too_few_live_rows_are_filled_up_and_the_gate_says_that_it_could_not_judge() -> None:
    """Twenty live rows: the window keeps its length, and rows the champion was trained on judge nobody."""
    store = MemoryStore()
    champion, _ = register(store)
    result = finished(store, champion, source=Rows(number=20))
    described = msgspec.json.decode(store.get(result.dataset), type=Manifest)
    assert (described.rows, described.registration_rows) == (400, 380)
    assert result.numbers["gate_measured"] == 0.0
    assert "shadow decides" in result.reason


def test_the_registrations_rows_are_found_through_any_later_champion() -> None:
    """Each card carries the digest on, so that no chain of releases has to be walked."""
    store = MemoryStore()
    champion, _ = register(store)
    second = finished(store, champion)
    shop = workshop(store, Rows(number=20))
    third = run_order(order(second.release, run="run-2"), "m", shop)
    assert isinstance(third, TrainingFinished)
    assert msgspec.json.decode(store.get(third.dataset), type=Manifest).registration_rows == 380


def test_a_candidate_that_the_gate_refuses_is_kept_all_the_same() -> None:
    """A margin that nothing can keep: the release is whole and says on its card what the gate said."""
    store = MemoryStore()
    champion, _ = register(store)
    result = finished(store, champion, changed(gate_margin=-1.0))
    card = msgspec.json.decode(store.get(result.card), type=RunCard)
    release = load_release(store, result.release)
    assert not result.passed
    assert (release.card, release.parent) == (result.card, champion)
    assert store.get(release.artefact)
    assert load_profile(store, release.profile).rows == 400
    assert card.tags["gate"] == "refused"


def test_a_candidate_that_says_no_numbers_makes_no_release_but_a_card() -> None:
    """Nobody may let it in: it has no profile, and the gate's reason stands on the card."""
    store = MemoryStore()
    champion, _ = register(store)
    result = run_order(order(champion), "m", speechless(workshop(store)))
    assert isinstance(result, TrainingFinished), result
    card = msgspec.json.decode(store.get(result.card), type=RunCard)
    assert (result.passed, result.release, card.outputs) == (False, "", {})
    assert "not finite" in result.reason


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (changed(minimum_rows=5_000), "320 rows to train on beside 80"),
        (changed(window_rows=250), "ask for a window of 280 rows or more (it was 250), or lower minimum_rows"),
        (changed(window_rows=60), "0 rows to train on beside 80 kept for the gate, 200 are needed"),
        (changed(parameters={"depth": 3.0}), "no parameter depth"),
        (changed(recipe="forest"), "no recipe 'forest'; there are: xgboost"),
    ],
)
def test_what_data_or_policy_forbid_is_not_tried_again(policy: Policy, said: str) -> None:
    """The failure says why, in words."""
    store = MemoryStore()
    champion, _ = register(store)
    result = run_order(order(champion, policy=policy, attempt=2), "m", workshop(store))
    assert isinstance(result, TrainingFailed)
    assert not result.retryable
    assert said in result.reason
    assert result.id == derived_id("run-1", 2, "failed")


class Speechless:
    """A model that was loaded and says nothing."""

    def predict_matrix(self, matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """No number."""
        return np.full(len(matrix), np.nan), None


def speechless(shop: Workshop) -> Workshop:
    """The same shop, where every model that is loaded is so."""
    return replace(shop, formats=replace(shop.formats, load=lambda form, contract, data: Speechless()))


class Unreachable:
    """A source whose broker is away."""

    def newest(self, model: str, as_of: datetime, labelled_rows: int) -> LoggedRows:
        """Never."""
        raise LogUnavailable("no broker")


class Broken(LocalPool):
    """A pool whose workers are gone."""

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Never."""
        raise PoolFailed("no workers")


def test_what_the_machinery_could_not_do_may_be_tried_again() -> None:
    """A broker away, workers gone, a champion not in the store yet; and the next attempt, on sound machinery, ends the run."""
    store = MemoryStore()
    champion, _ = register(store)
    for shop, said in ((workshop(store, Unreachable()), "no broker"), (workshop(store, pool=Broken()), "no workers")):
        result = run_order(order(champion), "m", shop)
        assert isinstance(result, TrainingFailed)
        assert (result.retryable, result.reason) == (True, said)
    elsewhere = run_order(order(champion), "m", workshop(MemoryStore()))
    assert isinstance(elsewhere, TrainingFailed)
    assert elsewhere.retryable
    assert isinstance(run_order(order(champion, attempt=2), "m", workshop(store)), TrainingFinished)


def test_a_champion_of_another_model_is_refused() -> None:
    """An order that mixes models up must not train."""
    store = MemoryStore()
    champion, _ = register(store)
    result = run_order(order(champion), "other", workshop(store))
    assert isinstance(result, TrainingFailed)
    assert "is of model 'm', the order is for 'other'" in result.reason


def test_a_later_contract_is_the_champions() -> None:
    """The candidate is counted on the same grid."""
    store = MemoryStore()
    champion, contract = register(store)
    release = load_release(store, finished(store, champion).release)
    assert load_contract(store, release.contract) == load_contract(store, contract)
