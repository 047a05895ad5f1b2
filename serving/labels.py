"""Labels as clients send them: parsed, and each judged by the prediction id it carries."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from serving.body import BadRequest, Limits, decode_object, event_time, kind_of, listed, refuse_unknown_keys
from streams.contract import Contract, loss_of
from streams.events import Labelled, derived_id
from streams.prediction_id import Sealed

_KEYS: Final = ("id", "label", "at")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAsked:
    """One label of a request, its shape checked; the id is not yet unsealed."""

    index: int
    id: str
    label: float | str | bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRefused:
    """Why one label is not taken. `reason`: forged | unknown_model | expired | bad_label."""

    index: int
    reason: str
    message: str
    part: str = "id"

    @property
    def field(self) -> str:
        """Where it stands in the request."""
        return f"labels[{self.index}].{self.part}"


def parse_labels(body: bytes, now: datetime, limits: Limits) -> tuple[LabelAsked, ...]:
    """The labels of a body. Raises BadRequest."""
    value = decode_object(body)
    refuse_unknown_keys(value, ("labels",))
    if "labels" not in value:
        raise BadRequest("missing", "labels is missing: send a list of {id, label, at}.", field="labels")
    labels = listed(value["labels"], "labels", limits)
    return tuple(_label(item, index, now, limits) for index, item in enumerate(labels))


def judge(
    asked: LabelAsked,
    sealed: Sealed,
    *,
    models: Collection[str],
    contracts: Mapping[str, Contract],
    now: datetime,
    horizon: timedelta,
) -> LabelRefused | None:
    """Why this label cannot be used; None: it can. A label of a contract not held here is left to the monitor to judge."""
    if sealed.model not in models:
        return LabelRefused(
            index=asked.index, reason="unknown_model", message=f"no model {sealed.model!r} is served here; was it removed?"
        )
    if now - sealed.issued > horizon:
        message = f"its prediction was made at {sealed.issued.isoformat()}; labels are taken for {horizon.days} days."
        return LabelRefused(index=asked.index, reason="expired", message=message)
    contract = contracts.get(sealed.contract)
    if contract is not None:
        try:
            loss_of(contract.target, 0.0, asked.label)
        except ValueError as error:
            return LabelRefused(index=asked.index, reason="bad_label", message=f"{error}.", part="label")
    return None


def labelled(asked: LabelAsked, sealed: Sealed) -> Labelled:
    """The record to write; the same label sent twice has the same id."""
    return Labelled(
        id=derived_id(asked.id, type(asked.label).__name__, str(asked.label), asked.at.isoformat()),
        at=asked.at,
        model=sealed.model,
        prediction=asked.id,
        label=asked.label,
    )


def _label(value: object, index: int, now: datetime, limits: Limits) -> LabelAsked:
    field = f"labels[{index}]"
    if not isinstance(value, dict):
        raise BadRequest("wrong_type", f"{field} must be an object, got {kind_of(value)}.", field=field)
    refuse_unknown_keys(value, _KEYS, field)
    identity = value.get("id")
    if not isinstance(identity, str) or not identity:
        raise BadRequest(
            "wrong_type",
            f"{field}.id must be the id that came with the prediction, got {kind_of(identity)}.",
            field=f"{field}.id",
        )
    label = value.get("label")
    if not isinstance(label, (str, bool, int, float)):
        raise BadRequest(
            "wrong_type", f"{field}.label must be a number, text or boolean, got {kind_of(label)}.", field=f"{field}.label"
        )
    if isinstance(label, str) and len(label) > limits.text_characters:
        raise BadRequest("too_long", f"{field}.label has more than {limits.text_characters} characters.", field=f"{field}.label")
    if isinstance(label, int) and not isinstance(label, bool) and not -math.inf < _float(label) < math.inf:
        raise BadRequest("not_finite", f"{field}.label is larger than any float.", field=f"{field}.label")
    return LabelAsked(index=index, id=identity, label=label, at=event_time(value.get("at"), f"{field}.at", now, limits))


def _float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf
