"""The frozen challenger: whether it may be tried, what it is judged on, and how it becomes a release.

That it is wanted was measured on the champion's whole life; here it has to pass a gate. It is judged on rows that it was asked
before it learnt them, and that the present champion answered: what an older champion lost proves nothing against this one. It has
learnt the holdout by now, so the gate looks at those rows, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np

from streams.contract import TargetContract
from streams.encoding import encode_columns
from streams.events import TrainingOrder
from streams.reference import reference_profile
from trainer.candidate import NotTrainable
from trainer.candidate_store import store_card, store_model, store_release
from trainer.dataset import Dataset
from trainer.frozen import ChallengerUnusable, Frozen
from trainer.frozen_card import frozen_card
from trainer.gate import GateVerdict, judge
from trainer.recall import Tried
from trainer.run_dataset import gather, store
from trainer.stopwatch import Stopwatch
from trainer.stored_release import StoredRelease
from trainer.validate import validate
from trainer.workshop import Workshop

CHALLENGER: Final = "challenger"
"""Its name among the digests of those that are tried: it has none yet."""
BEHIND_PERIODS: Final = 2
"""It may lag behind the newest labelled row by so much."""
_LOSS: Final = TargetContract(name="loss", task="regression", scale=1.0)
"""The gate's measure of what is a loss already: its distance to 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frost:
    """The release that was made of a challenger, and the numbers of its making."""

    release: str
    why: str
    numbers: Mapping[str, float]
    learnt_until: datetime


def offered(
    model: str, order: TrainingOrder, champion: StoredRelease, newest: datetime | None, shop: Workshop
) -> tuple[Frozen, Tried]:
    """The challenger, and its losses beside the champion's. `newest`: when the newest labelled row was predicted, if there is one.

    Raises NotTrainable, with the reason, where it may not be tried.
    """
    try:
        frozen = shop.challengers.read(model)
    except ChallengerUnusable as error:
        raise NotTrainable(str(error)) from error
    if frozen is None:
        raise NotTrainable("the agents have kept none of this model yet.")
    if frozen.contract != champion.release.contract:
        raise NotTrainable(
            f"it reads rows of contract {frozen.contract[:12]}, the champion's is {champion.release.contract[:12]}."
        )
    unknown = sorted({rule.incident for rule in order.quarantine} - frozen.known) if order.policy.quarantine.enabled else []
    if unknown:
        raise NotTrainable(f"it may have learnt rows of incident {', '.join(unknown)}, of which it does not know.")
    asked = order.as_of if newest is None else newest
    if frozen.learnt_until is None or frozen.learnt_until < asked - BEHIND_PERIODS * order.policy.staleness.period:
        learnt = "nothing" if frozen.learnt_until is None else f"rows up to {frozen.learnt_until.isoformat()}"
        raise NotTrainable(f"it has learnt {learnt}, and rows up to {asked.isoformat()} are labelled.")
    return frozen, _beside(frozen, order, champion)


def freeze(
    frozen: Frozen, tried: Tried, numbers: Mapping[str, float], order: TrainingOrder, champion: StoredRelease, shop: Workshop
) -> Frost:
    """Make a release of it. `numbers`: of the judgement that it won.

    Raises NotTrainable where it must not become one, and what reading the log and the store raises.
    """
    watch, created = Stopwatch(shop.seconds), shop.wall_clock()
    verdict = _gate(tried, order)
    if not (verdict.passed and verdict.measured):  # unlike a trained model it is nothing that was paid for: no rows, no release
        raise NotTrainable(verdict.why)
    dataset = gather(order, champion, shop, watch)
    reasons = validate(dataset, champion.contract, order.policy.training)
    if reasons:
        raise NotTrainable("the dataset may not be learnt from: " + " ".join(reasons))
    stored = store(order, champion, dataset, shop)
    watch.lap("dataset")
    try:
        artefact = frozen.export(champion.contract)
    except ChallengerUnusable as error:
        raise NotTrainable(str(error)) from error
    watch.lap("export")
    outputs, predict_us = _store(artefact, frozen.format, champion, dataset, shop, watch)
    card = frozen_card(
        order=order,
        parent=champion.release,
        registration=champion.card.inputs.get("registration", ""),
        dataset=dataset,
        stored=stored,
        learnt_until=frozen.learnt_until,
        artefact_bytes=len(artefact),
        verdict=verdict,
        numbers={**numbers, "challenger_rows": float(len(tried.losses)), "predict_us": predict_us},
        outputs=outputs,
        laps=watch,
        created=created,
        shop=shop,
    )
    release = store_release(order, champion, card, store_card(card, shop), shop, artefact_format=frozen.format)
    assert frozen.learnt_until is not None  # nothing else is offered
    made = {
        **card.metrics,
        "challenger_learnt_until": frozen.learnt_until.timestamp(),
        **{f"seconds[{name}]": length for name, length in card.phases_s.items()},
    }
    return Frost(release=release, why=verdict.why, numbers=made, learnt_until=frozen.learnt_until)


def _beside(frozen: Frozen, order: TrainingOrder, champion: StoredRelease) -> Tried:
    """Rows up to the order's time that the present champion answered and was not trained on, in time order."""
    losses = frozen.losses
    known = np.array([at <= order.as_of for at in losses.at], dtype=np.bool_)
    own = np.array([release == order.champion for release in losses.champions], dtype=np.bool_)
    fair = np.flatnonzero(known & own & champion.unseen(losses.at))
    ordered = np.array(sorted(fair.tolist(), key=losses.at.__getitem__), dtype=np.int64)
    return Tried(release=CHALLENGER, losses=losses.challenger[ordered], champion=losses.champion[ordered])


def _gate(tried: Tried, order: TrainingOrder) -> GateVerdict:
    """The gate's own judgement on as many rows as a holdout has; there are no classes to look at apart, only older and newer."""
    newest = max(len(tried.losses) - order.policy.training.holdout_rows, 0)
    ours, theirs = tried.losses[newest:], tried.champion[newest:]
    return judge(
        target=_LOSS, actual=np.zeros(len(ours)), candidate=ours, champion=theirs, margin=order.policy.training.gate_margin
    )


def _store(
    artefact: bytes, artefact_format: str, champion: StoredRelease, dataset: Dataset, shop: Workshop, watch: Stopwatch
) -> tuple[Mapping[str, str], float]:
    """Artefact and profile, once it has said a number on every row; and how long it took over one, in microseconds."""
    contract, table = champion.contract, dataset.table
    model = shop.formats.load(artefact_format, contract, artefact)
    matrix = encode_columns(contract, table.columns)
    watch.lap("load")
    values, _ = model.predict_matrix(matrix)
    predict_us = watch.lap("predict") / max(table.rows, 1) * 1e6
    silent = int((~np.isfinite(values)).sum())
    if silent:
        raise NotTrainable(f"its output is not finite on {silent} of {table.rows} rows.")
    profile = reference_profile(
        model=contract.model,
        contract_digest=champion.release.contract,
        contract=contract,
        columns=table.columns,
        outputs=values.tolist(),
    )
    outputs = store_model(artefact, profile, shop)
    watch.lap("store")
    return outputs, predict_us
