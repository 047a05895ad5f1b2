"""What noise would buy, told from the table that a model is registered with."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.registration import NOISE, noise_figures, noise_told
from streams.events import Scalar
from streams.policy import Policy, StalenessPolicy, TrainingPolicy
from streams.release import load_release
from tests.core.trainer_rows import row
from tests.core.training_shop import MemoryStore
from trainer.adapters.local_pool import LocalPool
from trainer.first_release import NOT_TOLD, first_release
from trainer.older_half import Figures, NotTold
from trainer.runcard import RunCard

POLICY = Policy(
    staleness=StalenessPolicy(retrain_cost="1 errors", noise_trainings=100.0),
    training=TrainingPolicy(parameters={"rounds": 10, "max_depth": 3}, minimum_rows=100),
)


def table(rows: int, *, sorted_by_class: bool = False) -> dict[str, list[Scalar]]:
    content = [row(number, seed=1) for number in range(rows)]
    if sorted_by_class:
        content.sort(key=lambda one: one[1])
    return {"x": [features["x"] for features, _ in content], "y": [value for _, value in content]}


def registered(store: MemoryStore, content: Mapping[str, list[Scalar]], figures: Figures | None, policy: Policy = POLICY) -> str:
    return first_release(store, "m", content, "y", policy, LocalPool(), 5, figures=figures)[0]


def test_the_newer_half_is_scored_by_a_model_of_the_older_one() -> None:
    """Losses of as many rows as the half has, some of them errors; kept in the card, and the model is the same."""
    seen: list[NDArray[np.float64]] = []

    def figures(losses: NDArray[np.float64]) -> dict[str, float]:
        seen.append(losses)
        return {"half": 1.0}

    store = MemoryStore()
    with_figures = load_release(store, registered(store, table(401), figures))
    card = msgspec.json.decode(store.get(with_figures.card), type=RunCard)
    assert card.metrics["half"] == 1.0
    assert len(seen[0]) == 201
    assert 0.0 < seen[0].mean() < 0.5
    assert load_release(store, registered(store, table(401), None)).artefact == with_figures.artefact


def test_the_figure_stands_in_the_run_card_and_follows_the_price() -> None:
    store = MemoryStore()
    cheap, _ = noise_told(store, registered(store, table(400), noise_figures(POLICY, 10, 5)))
    dear_policy = msgspec.structs.replace(POLICY, staleness=StalenessPolicy(retrain_cost="5000 errors"))
    dear, why_not = noise_told(store, registered(store, table(400), noise_figures(dear_policy, 10, 5), dear_policy))
    assert cheap is not None
    assert cheap > 10.0
    assert (dear, why_not) == (0.0, "")
    assert noise_told(store, registered(store, table(400), None)) == (None, "")


def test_the_same_table_tells_the_same() -> None:
    store = MemoryStore()
    assert len({registered(store, table(400), noise_figures(POLICY, 10, 5)) for _ in range(2)}) == 1


@pytest.mark.parametrize(
    ("sorted_by_class", "rows_a_period", "said"),
    [(False, 50, "of the newer half of the table, 200 rows are 4 periods"), (True, 10, "")],
)
def test_what_cannot_be_told_is_said_and_stops_nothing(sorted_by_class: bool, rows_a_period: int, said: str) -> None:
    """Too few rows; a half that knows one class only is scored as it is."""
    store = MemoryStore()
    release = registered(store, table(400, sorted_by_class=sorted_by_class), noise_figures(POLICY, rows_a_period, 5))
    told, why_not = noise_told(store, release)
    assert (told is None) == bool(said)
    assert why_not.startswith(said)


def test_a_figure_that_is_not_told_leaves_its_reason() -> None:
    def figures(losses: NDArray[np.float64]) -> dict[str, float]:
        raise NotTold("the reason")

    store = MemoryStore()
    card = msgspec.json.decode(store.get(load_release(store, registered(store, table(400), figures)).card), type=RunCard)
    assert card.tags[NOT_TOLD] == "the reason"
    assert NOISE not in card.metrics
