"""Who answers: the share is kept, stays with its units as it grows, and only newer routes are taken."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from serving.router import CANDIDATE, CHAMPION, accepts, answering_arm, draw, entity_hash, scored_arms, unit_of
from streams.events import Route

SALT = b"a salt of thirty-two bytes......"
CANDIDATE_RELEASE = "c" * 64


def route(**changes: object) -> Route:
    """A rollout of one candidate at 10 %."""
    values: dict[str, Any] = {
        "id": "r",
        "at": datetime(2024, 1, 1, tzinfo=UTC),
        "model": "m",
        "generation": 3,
        "champion": "a" * 64,
        "candidate": CANDIDATE_RELEASE,
        "step": 1,
        "share": 0.1,
        "decision": "d",
    }
    return Route(**(values | changes))


def units(count: int) -> list[str]:
    return [unit_of("", 7, seq) for seq in range(count)]


def chosen(share: float, among: list[str]) -> set[str]:
    return {unit for unit in among if answering_arm(route(share=share), SALT, unit) == CANDIDATE}


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_candidate_answers_its_share_within_binomial_bounds(share: float) -> None:
    """5 standard deviations: 1 in 1.7 million by chance, and these hashes are fixed anyway."""
    n = 20_000
    bound = 5 * math.sqrt(n * share * (1 - share))
    assert abs(len(chosen(share, units(n))) - n * share) < bound


def test_entities_meet_the_candidate_in_its_share_too() -> None:
    n = 20_000
    entities = [unit_of(entity_hash(SALT, f"customer-{index}"), 0, 0) for index in range(n)]
    assert abs(len(chosen(0.1, entities)) - 0.1 * n) < 5 * math.sqrt(n * 0.1 * 0.9)


def test_whoever_is_in_at_a_share_is_in_at_every_larger_one() -> None:
    among = units(5_000)
    groups = [chosen(share, among) for share in (0.05, 0.1, 0.25, 0.5, 1.0)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(groups))
    assert groups[-1] == set(among)


def test_an_entity_keeps_its_arm_whatever_the_row() -> None:
    entity = entity_hash(SALT, "customer-1")
    assert unit_of(entity, 1, 2) == unit_of(entity, 8, 9)
    assert unit_of("", 1, 2) != unit_of("", 1, 3)


def test_another_rollout_draws_other_units_first() -> None:
    """Independent draws share 10 % of 10 %."""
    among = units(20_000)
    first = chosen(0.1, among)
    second = {unit for unit in among if answering_arm(route(candidate="e" * 64), SALT, unit) == CANDIDATE}
    assert len(first & second) < 0.02 * len(among)


def test_without_the_salt_nobody_can_tell_who_is_in() -> None:
    among = units(2_000)
    guessed = {unit for unit in among if draw(b"another salt", CANDIDATE_RELEASE, unit) < 0.5}
    assert 0.4 < len(guessed & chosen(0.5, among)) / len(guessed) < 0.6


@pytest.mark.parametrize(
    "changes", [{"candidate": ""}, {"step": 0}, {"share": 0.0}, {"step": 0, "share": 1.0}, {"candidate": "", "share": 1.0}]
)
def test_without_a_rollout_the_champion_answers_everything(changes: dict[str, object]) -> None:
    assert {answering_arm(route(**changes), SALT, unit) for unit in units(500)} == {CHAMPION}


def test_every_arm_of_the_route_is_scored_whoever_answers() -> None:
    assert scored_arms(route(step=0, share=0.0)) == (("champion", "a" * 64), ("candidate", "c" * 64))
    assert scored_arms(route(candidate="", control="b" * 64)) == (("champion", "a" * 64), ("control", "b" * 64))
    assert scored_arms(route(candidate="")) == (("champion", "a" * 64),)


@pytest.mark.parametrize(
    ("current", "new", "taken"),
    [
        ((1, 3), (1, 4), True),
        ((1, 3), (1, 3), False),
        ((1, 3), (1, 2), False),
        ((1, 9), (2, 1), True),
        ((2, 1), (1, 9), False),
        (None, (1, 1), True),
    ],
)
def test_only_a_higher_generation_or_incarnation_is_taken(
    current: tuple[int, int] | None, new: tuple[int, int], taken: bool
) -> None:
    held = None if current is None else route(incarnation=current[0], generation=current[1])
    assert accepts(held, route(incarnation=new[0], generation=new[1])) is taken


def test_an_entity_key_is_never_itself_in_what_stands_for_it() -> None:
    assert entity_hash(SALT, "") == ""
    assert "customer" not in entity_hash(SALT, "customer-1")
    assert entity_hash(SALT, "customer-1") != entity_hash(b"another", "customer-1")
