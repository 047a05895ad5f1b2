"""The frozen challenger as a candidate: when it becomes a release, when it is passed over, and that a run makes one at most."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from drift.challenger import Challenger, predict
from serving.adapters.model_cache import ModelCache
from streams.contract import Contract
from streams.encoding import Matrix
from streams.events import QuarantineRule, RecallFinished, TrainingFinished, TrainingOrder
from streams.policy import Policy, QuarantinePolicy, RecallPolicy, StalenessPolicy
from streams.release import encode, load_profile, load_release
from tests.core.challenger_beside import learnt, shop_with, table_of, with_challenger
from tests.core.trainer_rows import minute
from tests.core.training_shop import POLICY, MemoryResults, MemoryStore, Rows, order, register, workshop
from trainer.frozen import ChallengerUnusable, Frozen, PairedLosses
from trainer.run import run_order
from trainer.runcard import RunCard
from trainer.workshop import Workshop

RETURNED = Rows(number=700, inverted=500)
"""A world turned upside down for 500 rows, and back for 200."""
TRYING = msgspec.structs.replace(
    POLICY, recall=RecallPolicy(rows=120), staleness=StalenessPolicy(period=timedelta(minutes=10), retrain_cost="40 errors")
)
MADE = (
    "trainer:data_stored",
    "trainer:dataset_stored",
    "trainer:artefact_stored",
    "trainer:profile_stored",
    "trainer:card_stored",
    "trainer:candidate_stored",
    "trainer:recall_kept",
)


@pytest.fixture(scope="module")
def turned() -> tuple[MemoryStore, str, str]:
    """A champion that knows only the world upside down, fitted up to minute 419; and the release before it."""
    store = MemoryStore()
    first, _ = register(store)
    result = run_order(order(first, run="run-0", as_of=504), "m", workshop(store, RETURNED))
    assert isinstance(result, TrainingFinished), result
    return store, result.release, first


@pytest.fixture
def store(turned: tuple[MemoryStore, str, str]) -> MemoryStore:
    """A copy of its own."""
    return MemoryStore(blobs=dict(turned[0].blobs))


@pytest.fixture(scope="module")
def challenger(turned: tuple[MemoryStore, str, str]) -> tuple[Challenger, Frozen, Matrix]:
    """One that followed the world back."""
    return learnt(turned[0], turned[1], RETURNED)


@pytest.fixture
def frozen(challenger: tuple[Challenger, Frozen, Matrix]) -> Frozen:
    """It, frozen."""
    return challenger[1]


@pytest.fixture
def champion(turned: tuple[MemoryStore, str, str]) -> str:
    """Of the world upside down."""
    return turned[1]


@pytest.fixture
def first(turned: tuple[MemoryStore, str, str]) -> str:
    """Of the world that is back."""
    return turned[2]


def asked(champion: str, *releases: str, policy: Policy = TRYING, attempt: int = 1, as_of: float = 1_000) -> TrainingOrder:
    """An order that tries the challenger and those releases."""
    return with_challenger(order(champion, policy=policy, recall=releases, attempt=attempt, as_of=as_of))


def answer(shop: Workshop, asked: TrainingOrder) -> RecallFinished:
    """To an order that must be answered so."""
    result = run_order(asked, "m", shop)
    assert isinstance(result, RecallFinished), result
    return result


def with_losses(frozen: Frozen, *, champion: float | None = None, challenger: float | None = None) -> Frozen:
    """The same with other losses."""
    rows = len(frozen.losses.champions)
    losses = replace(
        frozen.losses,
        champion=frozen.losses.champion if champion is None else np.full(rows, champion),
        challenger=frozen.losses.challenger if challenger is None else np.full(rows, challenger),
    )
    return replace(frozen, losses=losses)


def test_a_challenger_that_is_proved_better_becomes_a_release_that_serves(
    store: MemoryStore, champion: str, challenger: tuple[Challenger, Frozen, Matrix], tmp_path: Path
) -> None:
    """Serving loads it, and it answers as the challenger does at that moment."""
    state, frozen, matrix = challenger
    said = answer(shop_with(store, RETURNED, frozen), asked(champion))
    assert said.challenger
    assert said.numbers["challenger_rows"] == 280
    assert said.numbers["gate_difference"] < -0.5
    release = load_release(store, said.release)
    assert (release.format, release.run, release.parent) == ("onnx", "run-1", champion)
    served = ModelCache(tmp_path, store).load("m", said.release)
    columns = table_of(RETURNED).columns
    rows = [{name: values[place] for name, values in columns.items()} for place in range(RETURNED.number)]
    values, shares = predict(state, matrix)
    assert shares is not None
    answers = served.predictor.predict(rows)
    assert [value for value, _ in answers] == values.tolist()
    assert np.allclose([share or 0.0 for _, share in answers], shares, atol=1e-4)


def test_its_card_says_what_it_is(store: MemoryStore, champion: str, first: str, frozen: Frozen) -> None:
    """Parent, cause, until when it learnt, what it was judged on; and that nothing was paid."""
    said = answer(shop_with(store, RETURNED, frozen), asked(champion))
    release = load_release(store, said.release)
    card = msgspec.json.decode(store.get(release.card), type=RunCard)
    of_first = msgspec.json.decode(store.get(load_release(store, first).card), type=RunCard)
    assert (card.step, card.parent, card.cause, card.price) == ("frozen challenger", champion, "asked", 0.0)
    assert card.trained_until == minute(699)
    assert card.inputs["registration"] == of_first.inputs["registration"]
    assert set(card.inputs) == {"dataset", "rows", "registration", "champion", "contract"}
    assert card.outputs == {"artefact": release.artefact, "profile": release.profile}
    assert all(store.has(digest) for digest in (*card.inputs.values(), *card.outputs.values()))
    assert card.tags["judged_on"].startswith("losses of rows that it was asked before it learnt them")
    assert card.metrics["challenger_rows"] == 280
    assert {"recall_tried", "gate_difference", "predict_us"} <= set(card.metrics)
    assert {"read", "dataset", "export", "load", "predict", "store"} == set(card.phases_s)
    assert load_profile(store, release.profile).rows == TRYING.training.window_rows
    assert card.metrics.items() <= said.numbers.items()
    assert said.numbers["challenger_learnt_until"] == minute(699).timestamp()


def test_one_that_loses_much_more_than_the_champion_is_none(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """The control: nothing is stored, and the training may start."""
    blobs = set(store.blobs)
    said = answer(shop_with(store, RETURNED, with_losses(frozen, champion=0.2, challenger=0.3)), asked(champion))
    assert (said.release, said.challenger) == ("", False)
    assert "the challenger is passed over: the candidate loses 0.100 more than the champion" in said.reason
    assert set(store.blobs) == blobs


def test_what_an_older_champion_lost_proves_nothing(store: MemoryStore, champion: str, first: str, frozen: Frozen) -> None:
    """All the gain lies on rows that the release before answered; on the present one's it loses."""
    rows = len(frozen.losses.champions)
    own = np.arange(rows) >= rows - 60
    losses = PairedLosses(
        at=frozen.losses.at,
        champions=tuple(champion if mine else first for mine in own),
        champion=np.where(own, 0.2, 1.0),
        challenger=np.full(rows, 0.4),
    )
    said = answer(shop_with(store, RETURNED, replace(frozen, losses=losses)), asked(champion))
    assert said.release == ""
    assert "on 60 newest rows" in said.reason
    # The control: had the present champion answered them, they would count.
    theirs = replace(frozen, losses=replace(losses, champions=(champion,) * rows))
    training = msgspec.structs.replace(TRYING.training, holdout_rows=180)
    policy = msgspec.structs.replace(TRYING, training=training)
    proof = answer(shop_with(store, RETURNED, theirs), asked(champion, policy=policy))
    assert proof.challenger, proof.reason


def test_without_rows_that_both_answered_it_is_none(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """The champion was fitted up to minute 419, and the order knows of none later."""
    said = answer(shop_with(store, RETURNED, frozen), asked(champion, as_of=419))
    assert said.release == ""
    assert "only 0 holdout rows" in said.reason


RULE = QuarantineRule(feature="x", kind="stuck", since=minute(600), incident="bug-7")


def refused(frozen: Frozen | ChallengerUnusable | None, store: MemoryStore, order: TrainingOrder) -> str:
    """Why it was passed over."""
    said = answer(shop_with(store, RETURNED, frozen), order)
    assert (said.release, said.challenger, said.numbers["recall_passed_over"]) == ("", False, 1.0)
    return said.reason


def test_what_may_not_be_tried_is_passed_over_with_its_reason(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """None yet, an unreadable one, another contract, one that has learnt nothing or stopped learning."""
    plain = asked(champion)
    assert "the agents have kept none" in refused(None, store, plain)
    assert "is damaged" in refused(ChallengerUnusable("its file is damaged"), store, plain)
    assert f"of contract {'0' * 12}" in refused(replace(frozen, contract="0" * 64), store, plain)
    assert "it has learnt nothing" in refused(replace(frozen, learnt_until=None), store, plain)
    behind = replace(frozen, learnt_until=minute(678))
    assert "it has learnt rows up to 2024-01-01T11:18:00" in refused(behind, store, plain)
    # The control: two periods of ten minutes behind the newest labelled row, of minute 699, are near enough.
    assert answer(shop_with(store, RETURNED, replace(frozen, learnt_until=minute(679))), plain).challenger


def test_one_that_does_not_know_of_an_incident_is_passed_over(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """It may have learnt spoilt rows; one that knows has left them out, and where nothing is left out there is nothing to know."""
    bug = msgspec.structs.replace(asked(champion), quarantine=(RULE,))
    assert "incident bug-7" in refused(frozen, store, bug)
    assert answer(shop_with(store, RETURNED, replace(frozen, known=frozenset({"bug-7"}))), bug).challenger
    off = msgspec.structs.replace(TRYING, quarantine=QuarantinePolicy(enabled=False))
    assert answer(shop_with(store, RETURNED, frozen), msgspec.structs.replace(bug, policy=off)).challenger


def test_it_is_not_looked_at_where_the_order_does_not_ask(store: MemoryStore, champion: str, first: str, frozen: Frozen) -> None:
    """Only archived releases are tried."""
    said = answer(shop_with(store, RETURNED, frozen), order(champion, policy=TRYING, recall=(first,)))
    assert (said.release, said.challenger, said.numbers["recall_tried"]) == (first, False, 1.0)


@pytest.mark.parametrize(("loss", "recalled"), [(0.0, False), (0.5, True)])
def test_whoever_gains_more_is_chosen(
    store: MemoryStore, champion: str, first: str, frozen: Frozen, loss: float, recalled: bool
) -> None:
    """The archived one is proved better; on the same number of rows the challenger gains more, or less."""
    said = answer(shop_with(store, RETURNED, with_losses(frozen, challenger=loss)), asked(champion, first))
    assert (said.challenger, said.release == first) == (not recalled, recalled)


def unexportable(contract: Contract) -> bytes:
    """Bytes that are no model."""
    raise ChallengerUnusable("its sums are damaged")


def test_when_it_cannot_be_made_a_release_the_next_best_is_called_back(
    store: MemoryStore, champion: str, first: str, frozen: Frozen
) -> None:
    """Whether it cannot be exported, or what is exported cannot be loaded."""
    broken = (
        (replace(frozen, export=unexportable), "its sums are damaged"),
        (replace(frozen, export=lambda contract: b"no model"), "is no ONNX model"),
        (replace(frozen, format="clay"), "artefact format 'clay'"),
    )
    for one, said in broken:
        best = with_losses(one, challenger=0.0)
        found = answer(shop_with(store, RETURNED, best), asked(champion, first))
        assert (found.release, found.challenger) == (first, False)
        assert said in refused(best, store, asked(champion))


class Speechless:
    """A model that was loaded and says nothing."""

    def predict_matrix(self, matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """No number."""
        return np.full(len(matrix), np.nan), None


def test_one_that_says_no_number_is_none(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """Whatever it lost before it was frozen."""
    shop = shop_with(store, RETURNED, frozen)
    shop = replace(shop, formats=replace(shop.formats, load=lambda name, contract, data: Speechless()))
    said = answer(shop, asked(champion))
    assert (said.release, said.challenger) == ("", False)
    assert "its output is not finite on 400 of 400 rows" in said.reason


def test_a_gate_that_refuses_it_keeps_it_from_serving(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """Better on the newest 120 rows, much worse on the 160 before them, which are in the holdout too."""
    rows = len(frozen.losses.champions)
    late = np.arange(rows) >= rows - 120
    losses = replace(frozen.losses, champion=np.where(late, 0.5, 0.0), challenger=np.where(late, 0.3, 0.9))
    training = msgspec.structs.replace(TRYING.training, holdout_rows=180)
    policy = msgspec.structs.replace(TRYING, training=training)
    assert "the candidate loses" in refused(replace(frozen, losses=losses), store, asked(champion, policy=policy))


def test_an_order_that_comes_again_has_the_same_release(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """Even when the challenger has learnt on since, and another attempt asks."""
    shop = shop_with(store, RETURNED, frozen)
    said = answer(shop, asked(champion))
    later = replace(shop_with(store, RETURNED, with_losses(frozen, challenger=1.0)), results=shop.results)
    assert answer(later, asked(champion)) == said
    again = answer(later, asked(champion, attempt=2))
    assert (again.release, again.challenger, again.attempt, again.id != said.id) == (said.release, True, 2, True)


class Killed(BaseException):
    """The process is gone."""


class KilledAt:
    """Dies at one point, and passes all others."""

    def __init__(self, point: str) -> None:
        self.point = point

    def reached(self, point: str) -> None:
        """Die there."""
        if point == self.point:
            raise Killed(point)


@pytest.mark.parametrize("point", MADE)
def test_killed_between_any_two_effects_a_run_has_one_release(
    store: MemoryStore, champion: str, frozen: Frozen, point: str
) -> None:
    """Nothing points to what is not there, and the one that is answered stays."""
    results = MemoryResults()
    shop = replace(shop_with(store, RETURNED, frozen), results=results)
    with pytest.raises(Killed):
        run_order(asked(champion), "m", replace(shop, crash=KilledAt(point)))
    kept = dict(results.recalled)
    said = answer(shop, asked(champion))
    assert said.challenger
    assert kept in ({}, {"run-1": said})
    assert list(results.recalled) == ["run-1"]
    assert answer(shop, asked(champion)) == said
    release = load_release(store, said.release)
    assert all(store.has(digest) for digest in (release.artefact, release.profile, release.card, release.contract))


def test_its_successor_is_judged_on_rows_that_it_has_not_learnt(store: MemoryStore, champion: str, frozen: Frozen) -> None:
    """It learnt on after the order: of the rows since, forty are new to it."""
    said = answer(shop_with(store, RETURNED, frozen), asked(champion))
    result = run_order(order(said.release, run="run-2"), "m", workshop(store, Rows(number=740, inverted=500)))
    assert isinstance(result, TrainingFinished), result
    assert result.numbers["gate_rows"] == 40
    assert result.numbers["regret_bound_periods"] == 1


def test_the_best_of_the_line_in_hindsight_stands_on_the_card_of_a_training(store: MemoryStore, champion: str) -> None:
    """The release before would have lost less since the world came back; while it stays turned there is nothing to regret."""
    bounds = []
    for rows in (Rows(number=700, inverted=430), Rows(number=700, inverted=700)):
        result = run_order(order(champion, policy=TRYING), "m", workshop(MemoryStore(blobs=dict(store.blobs)), rows))
        assert isinstance(result, TrainingFinished), result
        assert (result.numbers["regret_bound_releases"], result.numbers["regret_bound_periods"]) == (2, 28)
        bounds.append(result.numbers["regret_bound_errors"])
    assert bounds[0] > 150
    assert bounds[1] == 0


def test_an_ancestor_that_is_gone_is_not_weighed(store: MemoryStore, champion: str, first: str) -> None:
    """A purged store keeps nobody from training."""
    release = load_release(store, champion)
    orphan = store.put(encode(msgspec.structs.replace(release, parent="0" * 64)))
    result = run_order(order(orphan, policy=TRYING), "m", workshop(store, RETURNED))
    assert isinstance(result, TrainingFinished), result
    assert (result.numbers["regret_bound_releases"], result.numbers["regret_bound_errors"]) == (1, 0)
