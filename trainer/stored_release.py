"""A release with what a run must know of it: its contract and its run card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.release import BlobStore, Release, load_contract, load_release
from trainer.candidate import NotTrainable
from trainer.runcard import RunCard


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRelease:
    """All but its model, which is loaded when it is asked."""

    release: Release
    contract: Contract
    card: RunCard

    def unseen(self, times: Sequence[datetime | None]) -> NDArray[np.bool_]:
        """The rows of these event times that it was not trained on; None: a row of its model's registration."""
        until = self.card.trained_until
        return np.array([at is not None and (until is None or at > until) for at in times], dtype=np.bool_)


def load_stored(store: BlobStore, digest: str, model: str) -> StoredRelease:
    """The release of that digest, of that model. Raises NotTrainable, BlobMissing, BlobCorrupt."""
    release = load_release(store, digest)
    if release.model != model:
        raise NotTrainable(f"release {digest} is of model {release.model!r}, the order is for {model!r}.")
    card = msgspec.json.decode(store.get(release.card), type=RunCard)
    return StoredRelease(release=release, contract=load_contract(store, release.contract), card=card)
