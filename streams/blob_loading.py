"""Loads the contracts and releases that the fold of a partition asks for."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from streams.partition_fold import Blocked, Known
from streams.release import BlobCorrupt, BlobMissing, BlobStore, load_contract, load_release


@dataclass(frozen=True, slots=True, kw_only=True)
class NotLoaded:
    """Why a digest could not be loaded. `absent`: no such thing is in the store, now; otherwise it is there and broken."""

    absent: bool
    why: str


def load(known: Known, blocked: Blocked, store: BlobStore) -> NotLoaded | None:
    """Put what `blocked` names into `known`; None: done."""
    try:
        if blocked.is_contract:
            known.contracts[blocked.digest] = load_contract(store, blocked.digest)
        else:
            known.releases[blocked.digest] = load_release(store, blocked.digest).model
    except BlobMissing as error:
        return NotLoaded(absent=True, why=str(error))
    except msgspec.DecodeError as error:
        kind = "contract" if blocked.is_contract else "release"
        return NotLoaded(absent=True, why=f"blob {blocked.digest} is no {kind}: {error}")
    except (BlobCorrupt, OSError) as error:
        return NotLoaded(absent=False, why=str(error))
    return None
