"""The dataset of a run: gathered the same way for whatever is made of it, and stored before anything is made."""

from __future__ import annotations

from streams.events import TrainingOrder
from streams.release import encode
from trainer.dataset import Dataset, assemble, manifest, sought_rows
from trainer.left_out import LeavingOut
from trainer.stopwatch import Stopwatch
from trainer.stored_release import StoredRelease
from trainer.table import Table
from trainer.training_card import StoredDataset
from trainer.workshop import Workshop


def gather(order: TrainingOrder, champion: StoredRelease, shop: Workshop, watch: Stopwatch) -> Dataset:
    """The training window as of the order. Raises what reading the log and the store raises."""
    policy = order.policy.training
    rows = shop.source.newest(champion.release.model, order.as_of, sought_rows(policy))
    watch.lap("read")
    return assemble(
        contract=champion.contract,
        rows=rows,
        registration=_registration(champion, shop),
        policy=policy,
        as_of=order.as_of,
        leaving=LeavingOut.of(order),
    )


def store(order: TrainingOrder, champion: StoredRelease, dataset: Dataset, shop: Workshop) -> StoredDataset:
    """Its rows, then the manifest that names them."""
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


def _registration(champion: StoredRelease, shop: Workshop) -> Table | None:
    digest = champion.card.inputs.get("registration", "")
    return shop.formats.from_parquet(shop.store.get(digest), champion.contract) if digest else None
