"""A model's first release, from the table it is registered with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from streams.contract import Contract, class_name
from streams.crash_points import NOWHERE, CrashPoints
from streams.events import Scalar, derived_id
from streams.policy import Policy
from streams.release import BlobStore, Release, encode
from trainer.adapters.formats import FORMATS
from trainer.candidate import Fitted, NotTrainable, fit, profile_of
from trainer.contract_inference import BadTable, infer_contract
from trainer.dataset import Dataset, manifest
from trainer.older_half import Figures, NotTold, newer_half_losses
from trainer.stopwatch import Stopwatch
from trainer.table import Table
from trainer.training_card import StoredDataset, registration_card
from trainer.trial import TrialPool
from trainer.validate import validate
from trainer.workshop import NO_FACTS, Facts, Formats

NOT_TOLD: Final = "not_told"
"""Tag of a run card: why figures on the newer half of the rows are not among its metrics."""


def first_release(
    store: BlobStore,
    model: str,
    table: Mapping[str, Sequence[Scalar]],
    target: str,
    policy: Policy,
    pool: TrialPool,
    seed: int,
    *,
    formats: Formats = FORMATS,
    facts: Facts = NO_FACTS,
    seconds: Callable[[], float] | None = None,
    created: datetime | None = None,
    crash: CrashPoints = NOWHERE,
    figures: Figures | None = None,
) -> tuple[str, str]:
    """Infer the contract, train on all rows (columns in time order), store everything; returns (release, contract) digests.

    Without `seconds` and `created` the same table gives the same release. A search keeps the newest fifth of the rows from its
    trials; the model itself is fitted on all. `figures`: what to make of its losses on the newer half when it is fitted to the
    older one, for the run card. Raises BadTable, NotTrainable, BadParameters, NothingFound, PoolFailed.
    """
    contract = infer_contract(model, table, target, policy.training.task)
    contract_digest = store.put(encode(contract))
    crash.reached("registration:contract_stored")
    dataset = _dataset(contract, table)
    reasons = validate(dataset, contract, policy.training)
    if reasons:
        raise BadTable("the table cannot be trained on: " + " ".join(reasons))
    data = formats.to_parquet(dataset.table, contract)
    data_digest = store.put(data)
    crash.reached("registration:data_stored")
    described = manifest(contract=contract, contract_digest=contract_digest, dataset=dataset, data=data_digest, as_of=None)
    stored = StoredDataset(manifest=store.put(encode(described)), data=data_digest, bytes=len(data))
    crash.reached("registration:dataset_stored")
    watch = Stopwatch(seconds or (lambda: 0.0))
    fitted = fit(
        contract=contract,
        table=dataset.table,
        fit_rows=dataset.table.rows,
        policy=policy.training,
        seed=seed,
        pool=pool,
        formats=formats,
        watch=watch,
        limit_s=policy.admission.deadline.total_seconds(),
    )
    outputs = _outputs(store, contract, contract_digest, dataset.table, fitted, crash)
    run = derived_id(model, "registration", stored.manifest, seed)
    card = registration_card(
        model=model,
        run=run,
        contract=contract_digest,
        rows=dataset.table.rows,
        target=target,
        stored=stored,
        fitted=fitted,
        outputs=outputs,
        policy=policy,
        seed=seed,
        pool=pool,
        laps=watch if seconds else None,
        created=created,
        facts=facts,
    )
    if figures is not None:
        try:
            newer = newer_half_losses(
                contract=contract,
                table=dataset.table,
                fitted=fitted,
                policy=policy.training,
                seed=seed,
                pool=pool,
                formats=formats,
                limit_s=policy.admission.deadline.total_seconds(),
            )
            card = msgspec.structs.replace(card, metrics={**card.metrics, **figures(newer)})
        except NotTold as why:
            card = msgspec.structs.replace(card, tags={**card.tags, NOT_TOLD: str(why)})
    card_digest = store.put(encode(card))
    crash.reached("registration:card_stored")
    release = Release(
        model=model,
        artefact=outputs["artefact"],
        format=formats.artefact,
        contract=contract_digest,
        profile=outputs["profile"],
        card=card_digest,
        run=run,
    )
    release_digest = store.put(encode(release))
    crash.reached("registration:stored")
    return release_digest, contract_digest


def _outputs(
    store: BlobStore, contract: Contract, contract_digest: str, table: Table, fitted: Fitted, crash: CrashPoints
) -> dict[str, str]:
    profile = profile_of(contract, contract_digest, table, fitted)
    artefact = store.put(fitted.artefact)
    crash.reached("registration:artefact_stored")
    outputs = {"artefact": artefact, "profile": store.put(encode(profile))}
    crash.reached("registration:profile_stored")
    return outputs


def _dataset(contract: Contract, table: Mapping[str, Sequence[Scalar]]) -> Dataset:
    """All rows, none of them live, none kept for the gate."""
    classes = contract.target.task == "classification"
    target = tuple(class_name(value) if classes else _clean(value) for value in table[contract.target.name])
    columns = {feature.name: tuple(_clean(value) for value in table[feature.name]) for feature in contract.features}
    rows = len(target)
    whole = Table(columns=columns, target=target, at=(None,) * rows)
    return Dataset(table=whole, live_from=rows, holdout_from=rows, left_out={}, covers={})


def _clean(value: Scalar) -> Scalar:
    """NaN is how many tables spell a missing value."""
    return None if isinstance(value, float) and math.isnan(value) else value


__all__ = ["BadTable", "NotTrainable", "first_release"]
