"""What the champion lost, since it was trained, against the best single release of those that it descends from.

A lower bound of the regret of not having called one back: better ones may exist beside this line, and a training bought earlier
may have been better than all. One release for the whole time, because hindsight that may change its mind every period mostly
finds luck. Whether the champion served all that time the trainer does not know; in shadow it would have lost the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from typing import Final

import msgspec
import numpy as np

from streams.events import TrainingOrder
from streams.release import BlobCorrupt, BlobMissing
from trainer.candidate import NotTrainable
from trainer.dataset import Dataset
from trainer.regret import regret_bound, sums_by_period
from trainer.scored import ScoredRows
from trainer.stored_release import StoredRelease, load_stored
from trainer.workshop import Workshop

MOST_RELEASES: Final = 10
"""The champion among them."""
_UNFIT: Final = (BlobMissing, BlobCorrupt, NotTrainable, ValueError, msgspec.DecodeError)
"""What an old release may have wrong with it: it is not weighed."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def champion_regret(order: TrainingOrder, champion: StoredRelease, dataset: Dataset, shop: Workshop) -> Mapping[str, float]:
    """The bound in errors on the live rows that the champion was not trained on, by whole decision periods; nothing without any."""
    table = dataset.table.part(dataset.live_from, dataset.table.rows)
    times = [at for at in table.at if at is not None]
    fresh = champion.unseen(table.at)
    if not fresh.any():
        return {}
    scored = ScoredRows(champion.contract, table, shop)
    rows = []
    for stored in _line(champion, shop):
        try:
            lost = scored.losses_of(stored)
        except _UNFIT:
            if stored is champion:
                raise
            continue
        rows.append(np.where(stored.unseen(table.at), lost, np.nan))
    length = order.policy.staleness.period
    _, sums = sums_by_period([(at - _EPOCH) // length for at in times], np.array(rows))
    bound = regret_bound(sums[0], 0.0, losses=sums, born=[0] * len(sums), prices=[inf] * len(sums))
    return {
        "regret_bound_errors": bound.errors,
        "regret_bound_periods": float(bound.periods),
        "regret_bound_releases": float(len(rows)),
    }


def _line(champion: StoredRelease, shop: Workshop) -> list[StoredRelease]:
    """The champion and those that served before it, each when the next was made; as far back as the store goes."""
    line = [champion]
    while len(line) < MOST_RELEASES and line[-1].release.parent:
        try:
            line.append(load_stored(shop.store, line[-1].release.parent, champion.release.model))
        except _UNFIT:
            break
    return line
