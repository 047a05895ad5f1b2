"""One order from its dataset to a candidate that passed the gate, or to the reason why there is none.

A run has one result for good: an order that comes again is answered with the stored one, so that clocks in the run card
(which the release names) cannot make a second candidate of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.encoding import encode_columns
from streams.events import TrainingFailed, TrainingFinished, TrainingOrder, derived_id
from streams.ports import LogUnavailable, PositionLost
from streams.release import BlobCorrupt, BlobMissing, Release, encode, load_contract, load_release
from trainer.candidate import Fitted, NotTrainable, fit, profile_of
from trainer.dataset import Dataset, SourceBehind, assemble, manifest, sought_rows
from trainer.gate import GateVerdict, judge
from trainer.recipes.xgboost_trees import BadParameters
from trainer.runcard import RunCard
from trainer.search import NothingFound
from trainer.stopwatch import Stopwatch
from trainer.table import Table, encode_target
from trainer.training_card import StoredDataset, training_card
from trainer.trial import PoolFailed
from trainer.validate import validate
from trainer.workshop import Workshop

ACTOR = "trainer"


_PASSING = (PoolFailed, SourceBehind, LogUnavailable, PositionLost, BlobMissing, OSError)
"""Infrastructure: the same attempt may succeed later."""
_LASTING = (NotTrainable, NothingFound, BadParameters, BlobCorrupt, ValueError)
"""Data, policy or a damaged store: it would end the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Champion:
    release: Release
    contract: Contract
    card: RunCard


def run_order(order: TrainingOrder, model: str, shop: Workshop) -> TrainingFinished | TrainingFailed:
    """Carry out one order. Raises only what is a fault of this program."""
    known = shop.results.find(order.run)
    if known is not None:
        return known
    try:
        return shop.results.keep(_train(order, model, shop))
    except _PASSING as error:
        return failed(order, model, shop, str(error), retryable=True)
    except _LASTING as error:
        return failed(order, model, shop, str(error), retryable=False)


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
    champion = _champion(order, model, shop)
    rows = shop.source.newest(model, order.as_of, sought_rows(policy))
    watch.lap("read")
    dataset = assemble(
        contract=champion.contract, rows=rows, registration=_registration(champion, shop), policy=policy, as_of=order.as_of
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
    outputs = _store_candidate(champion, dataset, fitted, shop) if verdict.passed else {}
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


def _champion(order: TrainingOrder, model: str, shop: Workshop) -> _Champion:
    release = load_release(shop.store, order.champion)
    if release.model != model:
        raise NotTrainable(f"release {order.champion} is of model {release.model!r}, the order is for {model!r}.")
    card = msgspec.json.decode(shop.store.get(release.card), type=RunCard)
    return _Champion(release=release, contract=load_contract(shop.store, release.contract), card=card)


def _registration(champion: _Champion, shop: Workshop) -> Table | None:
    digest = champion.card.inputs.get("registration", "")
    return shop.formats.from_parquet(shop.store.get(digest), champion.contract) if digest else None


def _store_dataset(order: TrainingOrder, champion: _Champion, dataset: Dataset, shop: Workshop) -> StoredDataset:
    data = shop.formats.to_parquet(dataset.table, champion.contract)
    digest = shop.store.put(data)
    description = manifest(
        contract=champion.contract,
        contract_digest=champion.release.contract,
        dataset=dataset,
        data=digest,
        as_of=order.as_of,
    )
    return StoredDataset(manifest=shop.store.put(encode(description)), data=digest, bytes=len(data))


def _gate(champion: _Champion, dataset: Dataset, fitted: Fitted, shop: Workshop, margin: float) -> GateVerdict:
    """Judge on the holdout's rows that the champion was not trained on either."""
    fair = _unseen(dataset, champion)
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


def _unseen(dataset: Dataset, champion: _Champion) -> NDArray[np.bool_]:
    until = champion.card.trained_until
    known = dataset.table.at[dataset.holdout_from :]
    return np.array([at is not None and (until is None or at > until) for at in known], dtype=np.bool_)


def _store_candidate(champion: _Champion, dataset: Dataset, fitted: Fitted, shop: Workshop) -> dict[str, str]:
    profile = profile_of(champion.contract, champion.release.contract, dataset.table, fitted)
    return {"artefact": shop.store.put(fitted.artefact), "profile": shop.store.put(encode(profile))}


def _finish(
    *, order: TrainingOrder, champion: _Champion, stored: StoredDataset, verdict: GateVerdict, card: RunCard, shop: Workshop
) -> TrainingFinished:
    card_digest = shop.store.put(encode(card))
    release = ""
    if verdict.passed:
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
