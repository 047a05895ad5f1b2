"""Predictions and labels of the trainer's test rows, as serving writes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from streams.codec import encode_json
from streams.events import ArmOutput, Labelled, Predicted
from streams.ports import Outgoing
from streams.prediction_id import Sealed, Sealer
from streams.topics import LABELS, PREDICTIONS
from tests.core.trainer_rows import minute, row

RELEASE = "a" * 64
CONTRACT = "b" * 64
EPOCH = 77


def sealed_id(sealer: Sealer, model: str, number: int, *, quarantined: bool = False) -> str:
    """The id of the row of that number."""
    return sealer.seal(
        Sealed(
            epoch=EPOCH, seq=number, model=model, release=RELEASE, generation=1, step=0, arm="champion", at=minute(number),
            issued=datetime.now(UTC), contract=CONTRACT, champion=RELEASE, outputs=(("champion", RELEASE, 1.0),),
            quarantined=quarantined,
        )
    )  # fmt: skip


def traffic(sealer: Sealer, model: str, numbers: Sequence[int], seed: int = 0, spoilt: Collection[int] = ()) -> list[Outgoing]:
    """Each row's prediction, and its label five minutes later; one row a minute, the spoilt ones in quarantine."""
    records: list[Outgoing] = []
    for number in numbers:
        features, label = row(number, seed)
        quarantined = number in spoilt
        identity = sealed_id(sealer, model, number, quarantined=quarantined)
        predicted = Predicted(
            id=identity, at=minute(number), model=model, epoch=EPOCH, seq=number, release=RELEASE, arm="champion", generation=1,
            features=features, outputs=(ArmOutput(arm="champion", release=RELEASE, value=1.0),), contract=CONTRACT,
            quarantined=quarantined, flags=("x:unit",) if quarantined else (),
        )  # fmt: skip
        labelled = Labelled(id=f"label-{model}-{number}", at=minute(number + 5), model=model, prediction=identity, label=label)
        records.append(Outgoing(topic=PREDICTIONS, key=identity.encode(), value=encode_json(predicted)))
        records.append(Outgoing(topic=LABELS, key=identity.encode(), value=encode_json(labelled)))
    return records
