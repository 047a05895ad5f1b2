"""The staleness account of a model, told what happened."""

from __future__ import annotations

import msgspec

from drift import staleness
from homeostat.model_state import ModelState


def accounted(state: ModelState, *events: staleness.Event) -> ModelState:
    """The model after these, in order. What the account says of them is for whoever measures."""
    account = state.staleness
    for event in events:
        account, _ = staleness.advance(account, event, state.policy.staleness)
    return msgspec.structs.replace(state, staleness=account)
