"""The run card of a challenger that was frozen: nothing was trained, and nothing paid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from streams.events import TrainingOrder
from streams.release import Release
from trainer.dataset import Dataset
from trainer.gate import GateVerdict
from trainer.runcard import RunCard
from trainer.stopwatch import Stopwatch
from trainer.training_card import StoredDataset, inputs, judged
from trainer.workshop import Workshop

FREEZE_AGAIN: Final = (
    "no command freezes this challenger again: it has learnt on since; its coefficients are the artefact, and the rows of then "
    "are dataset {dataset}"
)
JUDGED_ON: Final = "losses of rows that it was asked before it learnt them; it has learnt the rows of the dataset"
"""What the gate went by, which for a training is the holdout."""


def frozen_card(
    *,
    order: TrainingOrder,
    parent: Release,
    registration: str,
    dataset: Dataset,
    stored: StoredDataset,
    learnt_until: datetime | None,
    artefact_bytes: int,
    verdict: GateVerdict,
    numbers: Mapping[str, float],
    outputs: Mapping[str, str],
    laps: Stopwatch,
    created: datetime,
    shop: Workshop,
) -> RunCard:
    """The card of a challenger that became a release. `numbers`: of the judgement that it won, and of its making."""
    facts = shop.facts
    return RunCard(
        title=f"Challenger of {parent.model}, frozen as of {order.as_of.isoformat()}",
        run=order.run,
        attempt=order.attempt,
        model=parent.model,
        environment=facts.environment,
        commit=facts.commit,
        step="frozen challenger",
        command=FREEZE_AGAIN,
        interpolated_command=FREEZE_AGAIN.format(dataset=stored.manifest[:12]),
        inputs=inputs(order, parent, registration, stored),
        outputs=dict(outputs),
        parameters={"memory_rows": float(order.policy.training.window_rows), "share": order.policy.challenger.share},
        seeds={},
        created=created,
        executor="in the trainer's process",
        duration_s=laps.total,
        phases_s=dict(laps.laps),
        resources={"dataset_bytes": float(stored.bytes), "artefact_bytes": float(artefact_bytes)},
        price=0.0,
        tags={
            **(facts.tags or {}),
            "recipe": "challenger",
            "gate": "passed" if verdict.passed else "refused",
            "judged_on": JUDGED_ON,
        },
        metrics={**numbers, **judged(verdict, dataset)},
        parent=order.champion,
        cause=order.cause,
        trained_until=learnt_until,
    )
