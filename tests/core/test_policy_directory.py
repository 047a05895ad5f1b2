"""Policies as files: which records put them in force, and what a file may be called."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from homeostat.policy_directory import InForce, keep_policy, load_policies, policy_path, to_be_set
from homeostat.policy_file import PolicyError
from streams.model_name import LONGEST
from streams.policy import Policy
from tests.core.control_log import EVENT_T0

OTHER = Policy(autonomy="approve")


def in_force(policy: Policy = Policy(), decision: str = "d1") -> dict[str, InForce]:  # noqa: B008  # frozen
    return {"m": InForce(policy=policy, decision=decision)}


def test_no_directory_is_no_policy(tmp_path: Path) -> None:
    assert load_policies(tmp_path / "policies") == {}


def test_a_file_is_a_policy_of_the_model_it_is_named_for(tmp_path: Path) -> None:
    keep_policy(tmp_path / "policies", "m", b'autonomy = "approve" # ask me')
    assert load_policies(tmp_path / "policies") == {"m": OTHER}
    assert (tmp_path / "policies" / "m.toml").read_bytes() == b'autonomy = "approve" # ask me'


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    for model, text in (("a", b"autonomi = 1"), ("b", b"[canary]\nmargin = 3"), ("c", b"")):
        keep_policy(tmp_path, model, text)
    with pytest.raises(PolicyError) as refusal:
        load_policies(tmp_path)
    assert "a.toml: unknown key autonomi" in str(refusal.value)
    assert "b.toml: canary.margin must be between 0 and 1" in str(refusal.value)


@pytest.mark.parametrize("model", ["churn-2.eu_west", "7", "a..b", "m" * LONGEST])
def test_a_name_that_can_be_is_its_file_as_it_stands(tmp_path: Path, model: str) -> None:
    keep_policy(tmp_path, model, b"")
    assert [path.name for path in tmp_path.iterdir()] == [f"{model}.toml"]
    assert list(load_policies(tmp_path)) == [model]


@pytest.mark.parametrize("model", ["../../etc/passwd", "a/b", ".hidden", "..", "plain", "with space", "ümlaut", "50%"])
def test_no_name_leads_out_of_the_directory(tmp_path: Path, model: str) -> None:
    """And each comes back as it was."""
    path = policy_path(tmp_path, model)
    assert path.parent == tmp_path
    keep_policy(tmp_path, model, b"")
    assert list(load_policies(tmp_path)) == [model]


def test_the_file_before_comes_back(tmp_path: Path) -> None:
    assert keep_policy(tmp_path, "m", b"one") is None
    before = keep_policy(tmp_path, "m", b"two")
    assert before == b"one"
    assert keep_policy(tmp_path, "m", before) == b"two"
    assert policy_path(tmp_path, "m").read_bytes() == b"one"
    keep_policy(tmp_path, "m", None)
    assert not policy_path(tmp_path, "m").exists()


def test_only_what_differs_is_set() -> None:
    """Not what is in force already, nor for a model that nobody registered."""
    assert to_be_set({"m": Policy()}, in_force(), EVENT_T0) == []
    assert to_be_set({"nobody": OTHER}, in_force(), EVENT_T0) == []
    (record,) = to_be_set({"m": OTHER}, in_force(), EVENT_T0)
    assert (record.model, record.policy, record.actor) == ("m", OTHER, "file:policies/m.toml")


def test_set_twice_is_once_and_a_policy_that_comes_back_is_set_again() -> None:
    """The id rests on the policy and on the decision that it replaces."""
    (first,) = to_be_set({"m": OTHER}, in_force(), EVENT_T0)
    (again,) = to_be_set({"m": OTHER}, in_force(), EVENT_T0)
    (later,) = to_be_set({"m": OTHER}, in_force(decision="d3"), EVENT_T0)
    (another,) = to_be_set({"m": msgspec.structs.replace(OTHER, autonomy="observe")}, in_force(), EVENT_T0)
    assert first.id == again.id
    assert len({first.id, later.id, another.id}) == 3
