"""What the fold must know before it takes a window: the policy in force, what people said of incidents, and the champion shown.

All follow from the log alone (policy and people's words from the broker's clock, the champion from the window, its reference
from its digest), so that windows read again are folded alike.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime

import msgspec

from drift.monitoring import ModelKnown, ModelState, State, advance, names_newer
from homeostat.patience import Patience
from homeostat.policy_book import PolicyBook, Settled
from streams.events import WindowCounted
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
        newer = names_newer(state, window)
        settled = self._settled(window.model, broker_time, known)
        policy = settled.policy
        assert policy is not None
        before = known.heard_until if known is not None else None
        generation, champion = newer or ((known.generation, known.champion) if known is not None else (-1, ""))
        if not champion:  # there is no incident to speak of: what people said is heard with the first champion
            settled = replace(settled, accepted=(), released=(), heard_until=before)
        if known is not None and newer is None and _has_heard(known, settled):
            return state
        item = ModelKnown(
            model=window.model,
            policy=policy,
            generation=generation,
            champion=champion,
            accepted=settled.accepted,
            released=settled.released,
            heard_until=settled.heard_until,
        )
        return advance(state, self._with_reference(item) if champion else item)[0]

    def _settled(self, model: str, broker_time: datetime, known: ModelState | None) -> Settled:
        """With a policy: waits until there is one."""

        def now() -> Settled | None:
            settled = self._policies.at(model, broker_time, known.heard_until if known is not None else None)
            if settled.policy is None and known is not None:
                # Known, and yet not in `control`: its registration is no longer kept, and the state's own policy goes on.
                return replace(settled, policy=known.policy)
            return settled if settled.policy is not None else None

        return self._patience.present(now, f"no policy of model {model!r} in control yet")

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


def _has_heard(model: ModelState, settled: Settled) -> bool:
    """Whether the policy is the same, no word is new, and the triage looks by the champion's reference (an older state does not)."""
    return settled.policy == model.policy and settled.heard_until == model.heard_until and model.triage.release == model.champion
