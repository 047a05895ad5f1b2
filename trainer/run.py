"""One order from its dataset to a candidate that the gate judged, or to the reason why there is none; or a recall, which goes first.

A run has one result of each stage for good: an order that comes again is answered with the stored one, so that clocks in the run card
(which the release names) cannot make a second candidate of it.
"""

from __future__ import annotations

import numpy as np

from streams.encoding import encode_columns
from streams.events import RecallFinished, TrainingFailed, TrainingFinished, TrainingOrder, derived_id
from streams.ports import LogUnavailable, PositionLost
from streams.release import BlobCorrupt, BlobMissing, Release, encode
from trainer.candidate import Fitted, NotTrainable, fit, profile_of
from trainer.dataset import Dataset, SourceBehind, assemble, manifest, sought_rows
from trainer.gate import GateVerdict, judge
from trainer.left_out import LeavingOut
from trainer.recall_run import nothing_recalled, recall_order
from trainer.recipes.xgboost_trees import BadParameters
from trainer.runcard import RunCard
from trainer.search import NothingFound
from trainer.stopwatch import Stopwatch
from trainer.stored_release import StoredRelease, load_stored
from trainer.table import Table, encode_target
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
    if order.recall:
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
    rows = shop.source.newest(model, order.as_of, sought_rows(policy))
    watch.lap("read")
    dataset = assemble(
        contract=champion.contract,
        rows=rows,
        registration=_registration(champion, shop),
        policy=policy,
        as_of=order.as_of,
        leaving=LeavingOut.of(order),
    )
    stored = _store_dataset(order, champion, dataset, shop)
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
        outputs=outputs,
        laps=watch,
        created=created,
        shop=shop,
    )
    return _finish(order=order, champion=champion, stored=stored, verdict=verdict, card=card, shop=shop)


def _registration(champion: StoredRelease, shop: Workshop) -> Table | None:
    digest = champion.card.inputs.get("registration", "")
    return shop.formats.from_parquet(shop.store.get(digest), champion.contract) if digest else None


def _store_dataset(order: TrainingOrder, champion: StoredRelease, dataset: Dataset, shop: Workshop) -> StoredDataset:
    data = shop.formats.to_parquet(dataset.table, champion.contract)
    digest = shop.store.put(data)
    shop.crash.reached("trainer:data_stored")
    description = manifest(
        contract=champion.contract,
        contract_digest=champion.release.contract,
        dataset=dataset,
        data=digest,
        as_of=order.as_of,
    )
    stored = StoredDataset(manifest=shop.store.put(encode(description)), data=digest, bytes=len(data))
    shop.crash.reached("trainer:dataset_stored")
    return stored


def _gate(champion: StoredRelease, dataset: Dataset, fitted: Fitted, shop: Workshop, margin: float) -> GateVerdict:
    """Judge on the holdout's rows that the champion was not trained on either."""
    fair = champion.unseen(dataset.table.at[dataset.holdout_from :])
    contract = champion.contract
    holdout = dataset.table.part(dataset.holdout_from, dataset.table.rows)
    served = shop.formats.load(contract, shop.store.get(champion.release.artefact))
    theirs, _ = served.predict_matrix(encode_columns(contract, holdout.columns)[fair])
    return judge(
        target=contract.target,
        actual=encode_target(contract.target, holdout.target)[fair],
        candidate=fitted.values[dataset.holdout_from :][fair],
        champion=theirs,
        margin=margin,
    )


def _store_candidate(champion: StoredRelease, dataset: Dataset, fitted: Fitted, shop: Workshop) -> dict[str, str]:
    profile = profile_of(champion.contract, champion.release.contract, dataset.table, fitted)
    artefact = shop.store.put(fitted.artefact)
    shop.crash.reached("trainer:artefact_stored")
    outputs = {"artefact": artefact, "profile": shop.store.put(encode(profile))}
    shop.crash.reached("trainer:profile_stored")
    return outputs


def _finish(
    *, order: TrainingOrder, champion: StoredRelease, stored: StoredDataset, verdict: GateVerdict, card: RunCard, shop: Workshop
) -> TrainingFinished:
    card_digest = shop.store.put(encode(card))
    shop.crash.reached("trainer:card_stored")
    release = _store_release(order, champion, card, card_digest, shop) if card.outputs else ""
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


def _store_release(order: TrainingOrder, champion: StoredRelease, card: RunCard, card_digest: str, shop: Workshop) -> str:
    """Kept whatever the gate said: a person may override it."""
    candidate = Release(
        model=champion.release.model,
        artefact=card.outputs["artefact"],
        format=shop.formats.artefact,
        contract=champion.release.contract,
        profile=card.outputs["profile"],
        card=card_digest,
        run=order.run,
        parent=order.champion,
    )
    release = shop.store.put(encode(candidate))
    shop.crash.reached("trainer:candidate_stored")
    return release
