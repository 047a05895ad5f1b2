"""What a policy file may say, and how it is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.demo_policy import DEMO_POLICY
from homeostat.policy_file import PolicyError, load_policy, parse_duration, parse_policy, policy_toml
from streams.policy import AdmissionPolicy, CanaryPolicy, Policy, StalenessPolicy, TrainingPolicy


def test_what_a_file_does_not_name_keeps_its_default() -> None:
    assert parse_policy("") == Policy()


def test_a_file_sets_numbers_durations_tables_and_lists() -> None:
    policy = parse_policy(
        """
        [staleness]
        period = "48h"
        retrain_cost = '40 errors'
        [training]
        parameters = { max_depth = 3, eta = 0.1 }
        search = { eta = [0.05, 0.3] }
        [canary]
        steps = [0.25, 1.0]
        [log]
        postcode = "hash"
        """
    )
    assert policy.staleness.period == timedelta(days=2)
    assert policy.staleness.price_errors == 40.0
    assert policy.training.parameters == {"max_depth": 3.0, "eta": 0.1}
    assert policy.training.search == {"eta": (0.05, 0.3)}
    assert policy.canary.steps == (0.25, 1.0)
    assert policy.log == {"postcode": "hash"}


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("1.5min", 90), ("2 h", 7_200), ("30d", 2_592_000)])
def test_durations_are_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[stalenes]\nperiod = '1h'", "unknown key stalenes; valid at the top are: admission, autonomy, canary, challenger"),
        ("[staleness]\nprice = 4", "unknown key staleness.price; valid in [staleness] are: challenger_cost, error_value"),
        ("[staleness]\nperiod = 3600", "staleness.period must be a duration in quotes"),
        ("[staleness]\nperiod = 'soon'", "'soon' is not a duration"),
        ("[staleness]\nperiod = '0h'", "staleness.period must be at least 1, got 0"),
        ("staleness = 1", "staleness must be a table"),
        ("[canary]\nsteps = [0.5, 0.1, 1.0]", "canary.steps must rise and end with 1.0"),
        ("[canary]\nsteps = [0.5]", "canary.steps must rise and end with 1.0"),
        ("[canary]\nmargin = 1.5", "canary.margin must be between 0 and 1, got 1.5"),
        ("[training]\ntrials = 'many'", "a value has the wrong type"),
        ("[training]\ntask = 'ranking'", "training.task must be one of classification, regression"),
        ("[training]\nsearch = { eta = [0.3, 0.1] }", "training.search.eta must be [low, high]"),
        ("[log]\nname = 'encrypt'", "log.name must be one of keep, hash, bin, drop"),
        ("period = ", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_valid(text: str, said: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        parse_policy(text)
    assert said in str(refusal.value)


def test_a_refusal_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text("[canary]\nmargins = 1")
    with pytest.raises(PolicyError, match=r"policy\.toml: unknown key canary\.margins"):
        load_policy(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path / "none.toml")


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(
            autonomy="approve",
            staleness=StalenessPolicy(period=timedelta(hours=48), maturity=timedelta(minutes=90), noise_trainings=0.1 + 0.2),
            admission=AdmissionPolicy(cooldown=timedelta(seconds=1.5), deadline=timedelta(microseconds=3)),
            training=TrainingPolicy(parameters={"max_depth": 3.0, "eta": 1e-05}, search={"eta": (0.05, 0.3)}),
            canary=CanaryPolicy(steps=(0.25, 1.0), deadline=timedelta(days=400, seconds=1)),
            log={"postcode": "hash", 'a "quoted" \\ name\n': "drop", "ünï \x7f": "bin", "a.b": "keep"},
        ),
        DEMO_POLICY,
    ],
)
def test_a_policy_written_as_toml_reads_back_the_same(policy: Policy) -> None:
    assert parse_policy(policy_toml(policy)) == policy


def test_durations_are_written_as_a_person_would() -> None:
    written = policy_toml(Policy(staleness=StalenessPolicy(period=timedelta(hours=48), maturity=timedelta(minutes=90))))
    assert 'period = "2d"' in written
    assert 'maturity = "90min"' in written
