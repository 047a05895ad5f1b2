"""How what was decided goes on record: decisions and routes, with ids derived from where their cause stands in the log."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from homeostat.model_state import Arrival, Draft, ModelState
from streams.events import Decided, Route, derived_id

CORE: Final = "3"
"""Version of the decision core; it changes when the same log would give other decisions."""


def decided(drafts: tuple[Draft, ...], arrival: Arrival, *, champion: str) -> tuple[Decided, ...]:
    """The decisions on one record. `champion`: who serves from here on, where the roles changed."""
    record = arrival.record
    last = len(drafts) - 1
    return tuple(
        decision(
            draft,
            model=record.model,
            cause=record.id,
            place=(arrival.partition, arrival.offset, index),
            at=arrival.at,
            champion=champion if index == last else "",
        )
        for index, draft in enumerate(drafts)
    )


def decision(draft: Draft, *, model: str, cause: str, place: tuple[int, int, int], at: datetime, champion: str = "") -> Decided:
    """A draft with its id. `place`: partition and offset of its cause, and which of the decisions on it this is."""
    partition, offset, index = place
    return Decided(
        # The broker's time too: after a restore the same place is another record's.
        id=derived_id("decision", partition, offset, index, at.isoformat()),
        at=at,
        model=model,
        kind=draft.kind,
        why=draft.why,
        numbers={name: _rounded(value) for name, value in sorted(draft.numbers.items())},
        release=draft.release,
        run=draft.run,
        order=draft.order,
        champion=champion,
        incident=draft.incident,
        cause=cause,
        partition=partition,
        offset=offset,
        core=CORE,
    )


def route_of(state: ModelState, arrival: Arrival, decisions: tuple[Decided, ...]) -> Route:
    """The route that a model's state means."""
    rollout = state.rollout
    return Route(
        id=derived_id(state.model, "route", rollout.incarnation, rollout.generation, state.revision),
        at=arrival.at,
        model=state.model,
        incarnation=rollout.incarnation,
        generation=rollout.generation,
        champion=rollout.champion,
        candidate=rollout.candidate,
        step=rollout.step,
        share=rollout.share,
        control=rollout.control,
        revision=state.revision,
        quarantine=state.quarantine,
        accepted=state.accepted,
        decision=decisions[-1].id,
    )


def _rounded(value: float) -> float:
    # Nine digits: enough to recompute from, few enough that another machine's libm agrees.
    return float(f"{value:.9g}")
