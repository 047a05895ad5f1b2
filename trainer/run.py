"""One order from its dataset to a candidate that the gate judged, or to the reason why there is none; or a recall, which goes first.

A run has one result of each stage for good: an order that comes again is answered with the stored one, so that clocks in the run card
(which the release names) cannot make a second candidate of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.encoding import encode_columns
from streams.events import RecallFinished, TrainingFailed, TrainingFinished, TrainingOrder, derived_id
from streams.ports import LogUnavailable, PositionLost
from streams.release import BlobCorrupt, BlobMissing
from trainer.candidate import Fitted, NotTrainable, fit, profile_of
from trainer.candidate_store import store_card, store_model, store_release
from trainer.champion_regret import champion_regret
from trainer.dataset import Dataset, SourceBehind
from trainer.gate import GateVerdict, judge
from trainer.recall_run import nothing_recalled, recall_order
from trainer.recipes.xgboost_trees import BadParameters
from trainer.run_dataset import gather, store
from trainer.runcard import RunCard
from trainer.search import NothingFound
from trainer.stopwatch import Stopwatch
from trainer.stored_release import StoredRelease, load_stored
from trainer.table import encode_target
from trainer.training_card import StoredDataset, training_card
from trainer.trial import PoolFailed
from trainer.validate import validate
from trainer.workshop import ACTOR, Workshop

_PASSING = (PoolFailed, SourceBehind, LogUnavailable, PositionLost, BlobMissing, OSError)
"""Infrastructure: the same attempt may succeed later."""
_LASTING = (NotTrainable, NothingFound, BadParameters, BlobCorrupt, ValueError)
"""Data, policy or a damaged store: it would end the same way."""


def run_order(order: TrainingOrder, model: str, shop: Workshop) -> RecallFinished | TrainingFinished | TrainingFailed:
    """Carry out one order. Raises only what is a fault of this program."""
    if order.looks_first:
        return _run_recall(order, model, shop)
    known = shop.results.find(order.run, TrainingFinished)
    if known is not None:
        return known
    try:
        kept = shop.results.keep(_train(order, model, shop))
        shop.crash.reached("trainer:result_kept")
        return kept
    except _PASSING as error:
        return failed(order, model, shop, str(error), retryable=True)
    except _LASTING as error:
        return failed(order, model, shop, str(error), retryable=False)


def _run_recall(order: TrainingOrder, model: str, shop: Workshop) -> RecallFinished | TrainingFailed:
    """As above; what is at fault in the recall itself must not stand in the way of the training."""
    try:
        return recall_order(order, model, shop)
    except _PASSING as error:
        return failed(order, model, shop, str(error), retryable=True)
    except _LASTING as error:
        return nothing_recalled(order, model, shop, str(error))


def failed(order: TrainingOrder, model: str, shop: Workshop, reason: str, *, retryable: bool) -> TrainingFailed:
    """The record that says so; its id is derived from run and attempt."""
    return TrainingFailed(
        id=derived_id(order.run, order.attempt, "failed"),
        at=shop.wall_clock(),
        model=model,
        actor=ACTOR,
        reason=reason[:2_000],
        run=order.run,
        attempt=order.attempt,
        retryable=retryable,
    )


def _train(order: TrainingOrder, model: str, shop: Workshop) -> TrainingFinished:
    watch, created = Stopwatch(shop.seconds), shop.wall_clock()
    policy = order.policy.training
    champion = load_stored(shop.store, order.champion, model)
    dataset = gather(order, champion, shop, watch)
    stored = store(order, champion, dataset, shop)
    watch.lap("dataset")
    reasons = validate(dataset, champion.contract, policy)
    if reasons:
        raise NotTrainable("the dataset may not be trained on: " + " ".join(reasons))
    fitted = fit(
        contract=champion.contract,
        table=dataset.table,
        fit_rows=dataset.holdout_from,
        policy=policy,
        seed=order.seed,
        pool=shop.pool,
        formats=shop.formats,
        watch=watch,
        limit_s=order.policy.admission.deadline.total_seconds(),
    )
    verdict = _gate(champion, dataset, fitted, shop, policy.gate_margin)
    watch.lap("gate")
    regret = champion_regret(order, champion, dataset, shop)
    watch.lap("regret")
    # What says no number has no profile, and nobody may let it in.
    sound = verdict.passed or bool(np.isfinite(fitted.values).all())
    outputs = _store_candidate(champion, dataset, fitted, shop) if sound else {}
    watch.lap("store")
    card = training_card(
        order=order,
        parent=champion.release,
        registration=champion.card.inputs.get("registration", ""),
        dataset=dataset,
        stored=stored,
        fitted=fitted,
        verdict=verdict,
        regret=regret,
        outputs=outputs,
        laps=watch,
        created=created,
        shop=shop,
    )
    return _finish(order=order, champion=champion, stored=stored, verdict=verdict, card=card, shop=shop)


def _gate(champion: StoredRelease, dataset: Dataset, fitted: Fitted, shop: Workshop, margin: float) -> GateVerdict:
    """Judge on the holdout's rows that the champion was not trained on either."""
    fair = champion.unseen(dataset.table.at[dataset.holdout_from :])
    contract = champion.contract
    holdout = dataset.table.part(dataset.holdout_from, dataset.table.rows)
    served = shop.formats.load(champion.release.format, contract, shop.store.get(champion.release.artefact))
    theirs, _ = served.predict_matrix(encode_columns(contract, holdout.columns)[fair])
    return judge(
        target=contract.target,
        actual=encode_target(contract.target, holdout.target)[fair],
        candidate=fitted.values[dataset.holdout_from :][fair],
        champion=theirs,
        margin=margin,
    )


def _store_candidate(champion: StoredRelease, dataset: Dataset, fitted: Fitted, shop: Workshop) -> Mapping[str, str]:
    profile = profile_of(champion.contract, champion.release.contract, dataset.table, fitted)
    return store_model(fitted.artefact, profile, shop)


def _finish(
    *, order: TrainingOrder, champion: StoredRelease, stored: StoredDataset, verdict: GateVerdict, card: RunCard, shop: Workshop
) -> TrainingFinished:
    card_digest = store_card(card, shop)
    release = ""
    if card.outputs:
        release = store_release(order, champion, card, card_digest, shop, artefact_format=shop.formats.artefact)
    return TrainingFinished(
        id=derived_id(order.run, "finished"),
        at=shop.wall_clock(),
        model=champion.release.model,
        actor=ACTOR,
        reason=verdict.why,
        run=order.run,
        release=release,
        passed=verdict.passed,
        card=card_digest,
        dataset=stored.manifest,
        rows=int(card.metrics["rows_fitted"]),
        seconds=card.duration_s,
        numbers={**card.metrics, **{f"seconds[{name}]": length for name, length in card.phases_s.items()}},
    )
