"""From the outcomes of the arms to what each row's client, prediction id and log record get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from serving.answer import Outcome, answering, arm_output
from serving.privacy import logged
from serving.quarantine import Quarantine
from serving.request import RowsAsked
from streams.contract import Contract
from streams.events import ArmOutput, Predicted, Route
from streams.prediction_id import Sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmOutcomes:
    """What one arm made of the rows of one request, and the CPU time that its call took."""

    arm: str
    release: str
    outcomes: Sequence[Outcome]
    latency_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What all rows of one request have in common; `first` is the sequence number of its first row."""

    route: Route
    contract: Contract
    contract_digest: str
    privacy: Mapping[str, str] | None
    quarantine: Quarantine
    epoch: int
    first: int
    issued: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAnswered:
    """One row: whose word the client gets, beside what every arm said and how long the answering one took."""

    chosen: ArmOutput
    outputs: tuple[ArmOutput, ...]
    latency_us: int


def rows_answered(wanted: Sequence[str], arms: Sequence[ArmOutcomes]) -> list[RowAnswered] | None:
    """One for each row; None when some row got a valid output from no arm at all."""
    answered = []
    latencies = {arm.arm: arm.latency_us for arm in arms}
    for index, arm in enumerate(wanted):
        outputs = tuple(arm_output(said.arm, said.release, said.outcomes[index]) for said in arms)
        chosen = answering(arm, outputs)
        if chosen is None:
            return None
        answered.append(RowAnswered(chosen=chosen, outputs=outputs, latency_us=latencies[chosen.arm]))
    return answered


def sealed(common: Answering, index: int, asked: RowsAsked, row: RowAnswered) -> Sealed:
    """What the prediction id of a row holds."""
    route = common.route
    return Sealed(
        epoch=common.epoch,
        seq=common.first + index,
        model=route.model,
        release=row.chosen.release,
        generation=route.generation,
        step=route.step,
        arm=row.chosen.arm,
        at=asked.at[index],
        issued=common.issued,
        contract=common.contract_digest,
        champion=route.champion,
        outputs=tuple((output.arm, output.release, output.value) for output in row.outputs),
        quarantined=common.quarantine.holds(asked.flags[index]),
    )


def predicted(
    common: Answering, index: int, asked: RowsAsked, row: RowAnswered, *, identity: str, entity: str, key: bytes
) -> Predicted:
    """The record of a row, as private as the policy wants it (`key` hashes values; `entity` is hashed already)."""
    route = common.route
    features = asked.rows[index]
    hides_nothing = common.privacy is not None and not common.privacy
    return Predicted(
        id=identity,
        at=asked.at[index],
        model=route.model,
        epoch=common.epoch,
        seq=common.first + index,
        release=row.chosen.release,
        arm=row.chosen.arm,
        generation=route.generation,
        step=route.step,
        share=route.share,
        features=features if hides_nothing else logged(common.contract, common.privacy, key, features),
        outputs=row.outputs,
        latency_us=row.latency_us,
        flags=asked.flags[index],
        quarantined=common.quarantine.holds(asked.flags[index]),
        entity=entity,
        contract=common.contract_digest,
    )
