"""The run cards of the two steps that make releases: a model's registration and every training after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from streams.events import TrainingOrder
from streams.policy import Policy
from streams.price import told
from streams.release import Release
from trainer.candidate import Fitted
from trainer.dataset import Dataset
from trainer.gate import GateVerdict
from trainer.runcard import RunCard
from trainer.stopwatch import Stopwatch
from trainer.trial import TrialPool
from trainer.workshop import Facts, Workshop

THREADS_PER_FIT = 1.0
TRAIN_AGAIN: Final = (
    "no command trains on these rows again: fit recipe {recipe} with this card's parameters and seed {seed} to dataset {dataset}; "
    "`homeostat retrain {model} --reason TEXT` trains on the rows of then"
)
REGISTER_AGAIN: Final = (
    "`homeostat register {model} --data FILE --target {target}` in an empty directory, where FILE is the table it was made of "
    "(its rows are kept as {rows}), with the policy of then and HOMEOSTAT_SEED={seed}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDataset:
    """Where a dataset lies: the digests of its manifest and of its rows."""

    manifest: str
    data: str
    bytes: int


def training_card(
    *,
    order: TrainingOrder,
    parent: Release,
    registration: str,
    dataset: Dataset,
    stored: StoredDataset,
    fitted: Fitted,
    verdict: GateVerdict,
    regret: Mapping[str, float],
    outputs: Mapping[str, str],
    laps: Stopwatch,
    created: datetime,
    shop: Workshop,
) -> RunCard:
    """The card of a training that came to a verdict."""
    fitted_rows = dataset.holdout_from
    known = [at for at in dataset.table.at[:fitted_rows] if at is not None]
    facts = shop.facts
    return RunCard(
        title=f"Training of {parent.model} on {fitted_rows} rows up to {order.as_of.isoformat()}",
        run=order.run,
        attempt=order.attempt,
        model=parent.model,
        environment=facts.environment,
        commit=facts.commit,
        step="training",
        command=TRAIN_AGAIN,
        interpolated_command=TRAIN_AGAIN.format(
            recipe=order.policy.training.recipe, seed=order.seed, dataset=stored.manifest[:12], model=parent.model
        ),
        inputs=inputs(order, parent, registration, stored),
        outputs=dict(outputs),
        parameters=dict(fitted.found.parameters),
        seeds={"search": order.seed, "fit": order.seed},
        created=created,
        executor=shop.pool.executor,
        duration_s=laps.total,
        phases_s=dict(laps.laps),
        resources=resources(shop.pool, fitted, stored),
        price=_price(order.policy),
        tags={**(facts.tags or {}), "recipe": order.policy.training.recipe, "gate": "passed" if verdict.passed else "refused"},
        metrics={
            **judged(verdict, dataset),
            **regret,
            **fitted.metrics(),
            "rows_fitted": float(fitted_rows),
        },
        parent=order.champion,
        cause=order.cause,
        trained_until=known[-1] if known else None,
    )


def registration_card(
    *,
    model: str,
    run: str,
    contract: str,
    rows: int,
    target: str,
    stored: StoredDataset,
    fitted: Fitted,
    outputs: Mapping[str, str],
    policy: Policy,
    seed: int,
    pool: TrialPool,
    laps: Stopwatch | None,
    created: datetime | None,
    facts: Facts,
) -> RunCard:
    """The card of a model's first release. Without a clock it depends on the inputs alone."""
    return RunCard(
        title=f"Registration of {model} with {rows} rows",
        run=run,
        attempt=1,
        model=model,
        environment=facts.environment,
        commit=facts.commit,
        step="registration",
        command=REGISTER_AGAIN,
        interpolated_command=REGISTER_AGAIN.format(model=model, target=target, rows=stored.data[:12], seed=seed),
        inputs={"dataset": stored.manifest, "rows": stored.data, "registration": stored.data, "contract": contract},
        outputs=dict(outputs),
        parameters=dict(fitted.found.parameters),
        seeds={"search": seed, "fit": seed},
        created=created,
        executor=pool.executor,
        duration_s=laps.total if laps else 0.0,
        phases_s=dict(laps.laps) if laps else {},
        resources=resources(pool, fitted, stored, timed=laps is not None),
        price=_price(policy),
        tags={**(facts.tags or {}), "recipe": policy.training.recipe},
        metrics={**fitted.metrics(), "rows_fitted": float(rows)},
        parent="",
        cause=run,
    )


def inputs(order: TrainingOrder, parent: Release, registration: str, stored: StoredDataset) -> dict[str, str]:
    """Digests of what a run under an order went in with, by role."""
    return {
        "dataset": stored.manifest,
        "rows": stored.data,
        "registration": registration,
        "champion": order.champion,
        "contract": parent.contract,
    }


def judged(verdict: GateVerdict, dataset: Dataset) -> dict[str, float]:
    """What the gate found, and how the dataset's rows came together."""
    return {
        **verdict.numbers,
        "gate_measured": float(verdict.measured),
        "rows_live": float(dataset.table.rows - dataset.live_from),
        "rows_left_out": float(sum(dataset.left_out.values())),
    }


def resources(pool: TrialPool, fitted: Fitted, stored: StoredDataset, *, timed: bool = True) -> dict[str, float]:
    """What the run used."""
    used = {
        "workers": float(pool.size),
        "threads_per_fit": THREADS_PER_FIT,
        "dataset_bytes": float(stored.bytes),
        "artefact_bytes": float(len(fitted.artefact)),
    }
    return {**used, "fit_seconds": fitted.fit_seconds} if timed else used


def _price(policy: Policy) -> float:
    return told(policy.staleness.price_errors)
