"""The run card holds all that a person needs to judge, repeat or cite a run."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from streams.release import load_release
from tests.core.training_shop import MemoryStore, order, register, workshop
from trainer.adapters.process_facts import commit, environment
from trainer.run import run_order
from trainer.runcard import RunCard
from trainer.workshop import Facts

WANTED = [
    "title",
    "environment",
    "commit",
    "step",
    "command",
    "interpolated_command",
    "inputs",
    "parameters",
    "seeds",
    "created",
    "executor",
    "duration_s",
    "resources",
    "price",
    "tags",
    "metrics",
    "parent",
    "cause",
    "regret",
]


@pytest.fixture(scope="module")
def card() -> RunCard:
    """Of a real run, in process."""
    store = MemoryStore()
    champion, _ = register(store)
    facts = Facts(environment=environment(image="sha256:abc"), commit=commit() or "unknown", tags={"team": "x"})
    result = run_order(order(champion), "m", dataclasses.replace(workshop(store), facts=facts))
    return msgspec.json.decode(store.get(load_release(store, result.release).card), type=RunCard)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", WANTED)
def test_the_card_has_every_field(card: RunCard, name: str) -> None:
    """Filled, except for what is only known later."""
    value = getattr(card, name)
    assert value is None if name == "regret" else value not in (None, "", {}, 0.0)


def test_the_card_names_its_inputs_and_outputs_by_digest(card: RunCard) -> None:
    """Dataset, its rows, the registration's, champion, contract; artefact, profile."""
    assert set(card.inputs) == {"dataset", "rows", "registration", "champion", "contract"}
    assert set(card.outputs) == {"artefact", "profile"}
    assert all(len(digest) == 64 for digest in (*card.inputs.values(), *card.outputs.values()))


def test_the_card_says_what_the_software_was(card: RunCard) -> None:
    """Versions of what the outcome depends on."""
    assert {"numpy", "optuna", "msgspec"} <= set(card.environment.packages)
    assert any(name.startswith("xgboost") for name in card.environment.packages)
    assert card.environment.image == "sha256:abc"


def test_the_duration_is_the_sum_of_its_phases(card: RunCard) -> None:
    """Nothing between the phases is lost: the clock of the test ticks once a look, the last look is after the last phase."""
    assert card.duration_s - sum(card.phases_s.values()) <= 1.0
    assert {"read", "dataset", "search", "fit", "gate", "store"} <= set(card.phases_s)


def test_the_card_promises_no_command_that_does_not_repeat_it(card: RunCard) -> None:
    """A training by hand is one on the rows of then; what this one was made of is named."""
    said = card.interpolated_command
    assert card.inputs["dataset"][:12] in said
    assert str(card.seeds["fit"]) in said
    assert card.cause not in said
    assert "{" not in said
    assert "{dataset}" in card.command


def test_the_registrations_card_names_its_table() -> None:
    store = MemoryStore()
    champion, _ = register(store)
    card = msgspec.json.decode(store.get(load_release(store, champion).card), type=RunCard)
    assert card.inputs["rows"][:12] in card.interpolated_command
    assert "--target" in card.interpolated_command
    assert "{" not in card.interpolated_command
