"""What is drawn before a schedule begins: its models, their policies, and which faults there are, how often."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from streams.policy import AdmissionPolicy, CanaryPolicy, ChallengerPolicy, Policy, RecallPolicy, StalenessPolicy

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
MARGIN: Final = 0.25
"""Wide, so that two dozen labelled rows decide: a schedule holds many rollouts."""
ALPHA: Final = 0.05
RUNS_DEADLINE: Final = timedelta(minutes=15)
ROLLOUT_DEADLINE: Final = timedelta(hours=1)

POLICY: Final = Policy(
    staleness=StalenessPolicy(period=timedelta(minutes=5), retrain_cost="12 errors", noise_trainings=13.0),
    admission=AdmissionPolicy(attempts=2, deadline=RUNS_DEADLINE, trainings_per_30_days=8, failures_to_open=3),
    canary=CanaryPolicy(
        margin=MARGIN, alpha_promote=ALPHA, alpha_rollback=ALPHA, steps=(0.5, 1.0), step_rows=16, shadow_least_rows=20,
        shadow_rows=160, bake_rows=24, deadline=ROLLOUT_DEADLINE,
    ),
    recall=RecallPolicy(releases=3),
)  # fmt: skip

_TOGETHER: Final = ("iris", "model-65")
"""Two models that share a partition of `control`."""
_APART: Final = ("iris", "electricity")
_ALONE: Final = ("iris",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One schedule's circumstances; rates are chances per step or per record."""

    seed: int
    steps: int
    policies: dict[str, Policy]
    routers: int
    agents: int
    restored: bool
    """The log begins with what the mirror kept of another, which is gone; routers remember newer routes of that one."""
    early: bool
    """A person wants a training at once, so that there is more to see."""
    late: float
    """Of a record on its way to `control`: it comes steps later, behind others."""
    repeated: float
    """... it comes twice."""
    rubbish: float
    people: float
    broker_away: float
    controller_crash: float
    """In a commit: before it, in the middle, or after it."""
    controller_sleep: float
    """Suspended, while another starts; then it wakes and goes on."""
    other_crash: float
    """Of a router, the trainer, or the agents."""
    silence: float
    """Of a challenger that falls silent, or is heard again."""
    label_lost: float


def drawn(seed: int) -> Plan:
    """The plan of a seed. Some kinds of fault are left out of each, so that what only shows without them shows too."""
    rng = random.Random(f"plan/{seed}")

    def rate(most: float) -> float:
        return rng.choice((0.0, most / 2, most, most))

    models = rng.choice((_TOGETHER, _APART, _ALONE, _ALONE))
    return Plan(
        seed=seed,
        steps=rng.choice((30, 30, 40, 40, 50, 120)),
        policies={model: _policy(rng) for model in models},
        routers=rng.choice((1, 2, 2, 3)),
        agents=rng.choice((1, 1, 2)),
        restored=rng.random() < 0.1,
        early=rng.random() < 0.8,
        late=rate(0.4),
        repeated=rate(0.4),
        rubbish=rate(0.1),
        people=rng.choice((0.05, 0.1, 0.3)),
        broker_away=rate(0.04),
        controller_crash=rate(0.1),
        controller_sleep=rate(0.08),
        other_crash=rate(0.08),
        label_lost=rate(0.1),
        silence=rate(0.06),
    )


def _policy(rng: random.Random) -> Policy:
    steps = rng.choice(((0.5, 1.0), (0.5, 1.0), (0.2, 0.6, 1.0)))
    newer = rng.choice(("waits", "replaces"))
    attempts, budget = rng.choice((1, 2, 2)), rng.choice((2, 8, 8))
    price = rng.choices(("12 errors", "0 errors", "inf errors", "0.60 EUR"), (6, 2, 1, 2))[0]
    staleness = msgspec.structs.replace(
        POLICY.staleness,
        retrain_cost=price,
        error_value=0.05,
        challenger_cost=rng.choice((0.1, 0.1, 0.0, 2.0)),
        trigger=rng.choices(("staleness", "drift", "nothing"), (12, 2, 1))[0],
    )
    challenger = ChallengerPolicy(
        enabled=rng.random() < 0.85,
        share=rng.choice((1.0, 1.0, 0.3)),
        candidate=rng.random() < 0.85,
        silent_periods=rng.choice((1, 2, 3)),
    )
    return msgspec.structs.replace(
        POLICY,
        staleness=staleness,
        challenger=challenger,
        admission=msgspec.structs.replace(POLICY.admission, attempts=attempts, trainings_per_30_days=budget),
        autonomy=rng.choices(("auto", "approve", "suggest", "observe"), (12, 2, 2, 1))[0],
        canary=msgspec.structs.replace(POLICY.canary, steps=steps, newer=newer),
    )
