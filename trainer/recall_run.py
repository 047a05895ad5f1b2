"""One recall order: the champion and archived releases on the newest labelled rows, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.encoding import encode_columns
from streams.events import RecallFinished, TrainingOrder, derived_id
from streams.release import BlobCorrupt, BlobMissing
from trainer.candidate import NotTrainable
from trainer.dataset import assemble, sought_rows
from trainer.left_out import LeavingOut
from trainer.recall import Tried, judge
from trainer.stored_release import StoredRelease, load_stored
from trainer.table import Table, Target, encode_target, losses
from trainer.workshop import ACTOR, Workshop

_UNFIT = (BlobMissing, BlobCorrupt, NotTrainable, ValueError, msgspec.DecodeError)
"""What an archived release may have wrong with it: it is passed over. (A store that cannot be read is another thing.)"""


def recall_order(order: TrainingOrder, model: str, shop: Workshop) -> RecallFinished:
    """Try the releases that the order names. Raises what reading the log and the champion raises."""
    known = shop.results.find(order.run, RecallFinished)
    if known is None:
        known = shop.results.keep(_tried(order, model, shop))
        shop.crash.reached("trainer:recall_kept")
    # The job counts answers by attempt, and an id is counted once.
    return msgspec.structs.replace(known, attempt=order.attempt, id=_id(order))


def nothing_recalled(order: TrainingOrder, model: str, shop: Workshop, why: str) -> RecallFinished:
    """The answer when the recall itself is at fault: none, so that the training starts."""
    return _answer(order, model, shop, release="", why=f"no release could be tried: {why}", numbers={})


def _tried(order: TrainingOrder, model: str, shop: Workshop) -> RecallFinished:
    policy = order.policy.recall
    champion = load_stored(shop.store, order.champion, model)
    table = _newest(order, champion, model, shop)
    actual = encode_target(champion.contract.target, table.target)
    theirs = _losses(champion, champion.contract, table, actual, shop)
    fresh = champion.unseen(table.at)
    tried: list[Tried] = []
    passed_over: list[str] = []
    for digest in order.recall:
        try:
            release = load_stored(shop.store, digest, model)
            ours = _losses(release, champion.contract, table, actual, shop)
        except _UNFIT as error:
            passed_over.append(f"{digest[:12]} is passed over: {error}")
            continue
        fair = fresh & release.unseen(table.at)
        tried.append(Tried(release=digest, losses=ours[fair], champion=theirs[fair]))
    verdict = judge(
        tried, rows=policy.rows, alpha=policy.alpha, least_gain=order.policy.training.gate_margin, passed_over=passed_over
    )
    return _answer(order, model, shop, release=verdict.release, why=verdict.why, numbers=verdict.numbers)


def _newest(order: TrainingOrder, champion: StoredRelease, model: str, shop: Workshop) -> Table:
    """The newest rows that a training could learn from; none of the registration's, which every release was trained on."""
    window = msgspec.structs.replace(order.policy.training, window_rows=order.policy.recall.rows, holdout_rows=0)
    dataset = assemble(
        contract=champion.contract,
        rows=shop.source.newest(model, order.as_of, sought_rows(window)),
        registration=None,
        policy=window,
        as_of=order.as_of,
        leaving=LeavingOut.of(order),
    )
    return dataset.table


def _losses(stored: StoredRelease, common: Contract, table: Table, actual: Target, shop: Workshop) -> NDArray[np.float64]:
    """What a release loses on the rows, by the champion's measure. Raises _UNFIT."""
    contract, target = stored.contract, stored.contract.target
    if (target.name, target.task, target.classes) != (common.target.name, common.target.task, common.target.classes):
        raise NotTrainable(f"it predicts another target, {target.name!r} ({target.task}).")
    absent = [feature.name for feature in contract.features if feature.name not in table.columns]
    if absent:
        raise NotTrainable(f"it needs features that are served no more: {', '.join(absent)}.")
    model = shop.formats.load(contract, shop.store.get(stored.release.artefact))
    values, _ = model.predict_matrix(encode_columns(contract, table.columns))
    return losses(common.target, values, actual)


def _answer(
    order: TrainingOrder, model: str, shop: Workshop, *, release: str, why: str, numbers: Mapping[str, float]
) -> RecallFinished:
    return RecallFinished(
        id=_id(order),
        at=shop.wall_clock(),
        model=model,
        actor=ACTOR,
        reason=why[:2_000],
        run=order.run,
        attempt=order.attempt,
        release=release,
        numbers=dict(numbers),
    )


def _id(order: TrainingOrder) -> str:
    return derived_id(order.run, order.attempt, "recalled")
