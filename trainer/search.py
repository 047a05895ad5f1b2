"""The search for parameters: Optuna proposes in batches, a pool runs them, and the same seed finds the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from streams.policy import TrainingPolicy
from trainer.recipes.xgboost_trees import PARAMETERS, BadParameters, settled
from trainer.trial import TrialPool, TrialRequest, TrialResult

SCORED_SHARE: Final = 0.2
"""The newest fifth of the rows is what a search scores on: a shuffled split would let the model see the future."""
MOST_TRIALS: Final = 1_000

Seconds: TypeAlias = Callable[[], float]
"""How many seconds are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The best parameters, and what every trial lost (None: it failed)."""

    parameters: Mapping[str, float]
    loss: float | None
    losses: tuple[float | None, ...]
    seconds: float
    """Of all trials together."""


class NothingFound(Exception):
    """Every trial failed; the message says why the first did."""


def search(*, policy: TrainingPolicy, rows: int, pool: TrialPool, seed: int, left_s: Seconds) -> Found:
    """The best parameters for the first `rows` rows that the pool holds. One trial, or nothing to search: the policy's own.

    Batches are as large as the pool, and results are told in the order in which they were asked, so that the outcome does
    not depend on which worker is faster. The first trial is the policy's own parameters: a search ends no worse than those.
    Raises BadParameters, NothingFound, PoolFailed.
    """
    fixed = dict(policy.parameters)
    settled(fixed)
    if policy.trials <= 1 or not policy.search:
        return Found(parameters=fixed, loss=None, losses=(), seconds=0.0)
    space = _space(policy.search)
    study = _study(seed)
    study.enqueue_trial({name: _within(space[name], settled(fixed)[name]) for name in space})
    fit_rows = rows - max(int(rows * SCORED_SHARE), 1)
    trials = min(policy.trials, MOST_TRIALS)
    done: list[tuple[TrialRequest, TrialResult]] = []
    while len(done) < trials:
        asked = [study.ask(space) for _ in range(min(pool.size, trials - len(done)))]
        requests = [
            TrialRequest(
                number=trial.number,
                recipe=policy.recipe,
                parameters={**fixed, **trial.params},
                seed=seed,
                fit_rows=fit_rows,
                score_from=fit_rows,
                score_to=rows,
            )
            for trial in asked
        ]
        results = pool.run(requests, left_s())
        for trial, result in zip(asked, results, strict=True):
            _tell(study, trial, result)
        done.extend(zip(requests, results, strict=True))
    return _best(done)


def _best(done: Sequence[tuple[TrialRequest, TrialResult]]) -> Found:
    scored = [(result.loss, request.number, request) for request, result in done if result.loss is not None]
    if not scored:
        raise NothingFound(f"none of {len(done)} trials made a model; the first said: {done[0][1].fault}")
    loss, _, request = min(scored, key=lambda entry: entry[:2])
    return Found(
        parameters=request.parameters,
        loss=loss,
        losses=tuple(result.loss for _, result in done),
        seconds=math.fsum(result.seconds for _, result in done),
    )


def _study(seed: int) -> Any:
    import optuna

    # Optuna reports every trial on standard error; what was tried is in the run card.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="minimize", sampler=optuna.samplers.TPESampler(seed=seed % 2**32))


def _tell(study: Any, trial: Any, result: TrialResult) -> None:
    import optuna

    if result.loss is None:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
    else:
        study.tell(trial, result.loss)


def _space(searched: Mapping[str, tuple[float, float]]) -> dict[str, Any]:
    """Optuna's distributions, by name. Raises BadParameters."""
    from optuna.distributions import FloatDistribution, IntDistribution

    space: dict[str, Any] = {}
    for name, (low, high) in sorted(searched.items()):
        settled({name: low})
        settled({name: high})
        parameter = PARAMETERS[name]
        if low > high:
            raise BadParameters(f"the search of {name} runs from {low:g} to {high:g}; the first must not be larger.")
        if parameter.whole:
            space[name] = IntDistribution(math.ceil(low), math.floor(high))
        else:
            space[name] = FloatDistribution(low, high, log=parameter.logarithmic)
    return space


def _within(distribution: Any, value: float) -> Any:
    return min(max(value, distribution.low), distribution.high)
