"""What the fold must know before it takes a window: the policy in force, and the champion that the window shows.

Both follow from the log alone (the policy from the broker's clock, the champion from the window, its reference from its
digest), so that windows read again are folded alike.
"""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec

from drift.monitoring import ModelKnown, State, advance, names_newer
from homeostat.patience import Patience
from homeostat.policy_book import PolicyBook
from streams.events import WindowCounted
from streams.policy import Policy
from streams.release import BlobCorrupt, BlobMissing, BlobStore, load_contract, load_profile, load_release

log = logging.getLogger("homeostat.agents")


class ModelKnowledge:
    """Policies from `control`, references from the store."""

    def __init__(self, policies: PolicyBook, store: BlobStore, patience: Patience) -> None:
        self._policies = policies
        self._store = store
        self._patience = patience

    def informed(self, state: State, window: WindowCounted, broker_time: datetime) -> State:
        """The state that is ready for this window; waits for what is not there yet. Raises LogUnavailable, StoppedError."""
        known = state.models.get(window.model)

        def policy_now() -> Policy | None:
            # Known, and yet not in `control`: its registration is no longer kept, and the state's own policy goes on.
            return self._policies.at(window.model, broker_time) or (None if known is None else known.policy)

        policy = self._patience.present(policy_now, f"no policy of model {window.model!r} in control yet")
        newer = names_newer(state, window)
        if known is not None and newer is None and policy == known.policy:
            return state
        generation, champion = newer or ((known.generation, known.champion) if known is not None else (-1, ""))
        item = ModelKnown(model=window.model, policy=policy, generation=generation, champion=champion)
        return advance(state, self._with_reference(item) if champion else item)[0]

    def _with_reference(self, item: ModelKnown) -> ModelKnown:
        def loaded() -> ModelKnown | None:
            try:
                release = load_release(self._store, item.champion)
                profile, contract = load_profile(self._store, release.profile), load_contract(self._store, release.contract)
            except (BlobMissing, BlobCorrupt, OSError, msgspec.DecodeError) as error:
                log.debug("%s", error)
                return None
            return msgspec.structs.replace(item, profile=profile, contract=contract)

        return self._patience.present(loaded, f"release {item.champion} of model {item.model!r} is not whole in the store")
