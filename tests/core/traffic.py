"""Traffic for tests of windows, lake and monitor: a contract, two releases, and records as serving writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from streams.codec import encode_json
from streams.contract import Contract, FeatureContract, TargetContract
from streams.events import ArmOutput, HeartBeaten, Labelled, Predicted, Scalar, derived_id
from streams.partition_fold import FoldRules, Known, Output, PartitionState, advance
from streams.ports import Message
from streams.prediction_id import Sealed, Sealer
from streams.profile import Profile
from streams.release import BlobStore, Release, digest_of, encode

KEY = bytes(range(32))
START = datetime(2026, 1, 2, 3, 4, 0, tzinfo=UTC)
"""Broker time 0 of the stories; on a minute."""
HORIZON = timedelta(days=30)
EVENT_START = datetime(1996, 5, 7, tzinfo=UTC)


@dataclass(slots=True)
class Traffic:
    """One model's records. `epoch` makes the ids of one test its own."""

    model: str = "electricity"
    epoch: int = 77
    key: bytes = KEY
    contract: Contract = field(init=False)
    contract_digest: str = field(init=False)
    champion: str = field(init=False)
    candidate: str = field(init=False)
    releases: tuple[Release, Release] = field(init=False)
    sealer: Sealer = field(init=False)

    def __post_init__(self) -> None:
        self.contract = Contract(
            model=self.model,
            features=(
                FeatureContract(name="price", kind="number", centre=0.0, scale=1.0),
                FeatureContract(name="zone", kind="category"),
            ),
            target=TargetContract(name="up", task="classification", classes=("0", "1")),
        )
        self.contract_digest = digest_of(encode(self.contract))
        self.releases = (self._release("first"), self._release("second"))
        self.champion, self.candidate = (digest_of(encode(release)) for release in self.releases)
        self.sealer = Sealer(self.key)

    def put(self, store: BlobStore) -> None:
        """What a registration puts into the store."""
        store.put(encode(self.contract))
        for release in self.releases:
            store.put(encode(release))

    def contract_blob(self) -> bytes:
        """The contract as it is stored."""
        return encode(self.contract)

    def known(self) -> Known:
        """What the monitor knows once it has loaded it."""
        return Known(
            contracts={self.contract_digest: self.contract},
            releases={self.champion: self.model, self.candidate: self.model},
        )

    def outputs(self, seq: int, *, candidate: bool = False) -> tuple[ArmOutput, ...]:
        """The champion says seq % 2; the candidate always 1."""
        champion = ArmOutput(arm="champion", release=self.champion, value=float(seq % 2), confidence=0.75)
        shadow = ArmOutput(arm="candidate", release=self.candidate, value=1.0, confidence=0.5)
        return (champion, shadow) if candidate else (champion,)

    def event_time(self, seq: int) -> datetime:
        """A row each 20 seconds: three to a minute."""
        return EVENT_START + timedelta(seconds=20 * seq)

    def predicted(
        self, seq: int, *, candidate: bool = False, features: dict[str, Scalar] | None = None, quarantined: bool = False
    ) -> Predicted:
        """The prediction with this sequence number."""
        return Predicted(
            id=self.id_of(seq, candidate=candidate, quarantined=quarantined),
            at=self.event_time(seq),
            model=self.model,
            epoch=self.epoch,
            seq=seq,
            release=self.champion,
            arm="champion",
            generation=1,
            features={"price": seq / 10, "zone": "north"} if features is None else features,
            outputs=self.outputs(seq, candidate=candidate),
            latency_us=1_000 + seq,
            contract=self.contract_digest,
            flags=("price:unit",) if quarantined else (),
            quarantined=quarantined,
        )

    def id_of(self, seq: int, *, candidate: bool = False, issued: datetime = START, quarantined: bool = False) -> str:
        """Its sealed id."""
        return self.sealer.seal(
            Sealed(
                epoch=self.epoch,
                seq=seq,
                model=self.model,
                release=self.champion,
                generation=1,
                step=0,
                arm="champion",
                at=self.event_time(seq),
                issued=issued,
                contract=self.contract_digest,
                champion=self.champion,
                outputs=tuple((o.arm, o.release, o.value) for o in self.outputs(seq, candidate=candidate)),
                quarantined=quarantined,
            )
        )

    def labelled(
        self,
        seq: int,
        label: float | str | bool = 1.0,
        *,
        candidate: bool = False,
        issued: datetime = START,
        quarantined: bool = False,
    ) -> Labelled:
        """The label of that prediction."""
        prediction = self.id_of(seq, candidate=candidate, issued=issued, quarantined=quarantined)
        return Labelled(
            id=derived_id(prediction, "label"),
            at=self.event_time(seq) + timedelta(hours=1),
            model=self.model,
            prediction=prediction,
            label=label,
        )

    def rules(self, **changes: int) -> FoldRules:
        """Ticks of a second, lake ticks of a minute."""
        values = {"tick_ms": 1_000, "lake_tick_ms": 60_000, **changes}
        return FoldRules(sealer=self.sealer, horizon=HORIZON, **values)

    def _release(self, name: str) -> Release:
        profile = Profile(model=self.model, contract=self.contract_digest, rows=0, features=())
        return Release(
            model=self.model,
            artefact=digest_of(name.encode()),
            format="xgboost-ubj",
            contract=self.contract_digest,
            profile=digest_of(encode(profile)),
            card=digest_of(b"card"),
            run=name,
        )


def key_and_value(record: Predicted | Labelled | HeartBeaten) -> tuple[bytes, bytes]:
    """As it goes to the log."""
    if isinstance(record, HeartBeaten):
        return b"", encode_json(record)
    return (record.id if isinstance(record, Predicted) else record.prediction).encode(), encode_json(record)


def message(
    topic: str, offset: int, ms: int, record: Predicted | Labelled | HeartBeaten | bytes, *, key: bytes | None = None
) -> Message:
    """A record at an offset of partition 0, `ms` after START; bytes are taken as they are."""
    own, value = (b"", record) if isinstance(record, bytes) else key_and_value(record)
    broker_time = START + timedelta(milliseconds=ms)
    return Message(topic=topic, partition=0, offset=offset, broker_time=broker_time, key=own if key is None else key, value=value)


def fold(
    messages: Sequence[Message], known: Known, rules: FoldRules, state: PartitionState | None = None
) -> tuple[PartitionState, list[Output]]:
    """All of them, one after the other."""
    state = state or PartitionState(topic=messages[0].topic, partition=messages[0].partition)
    outputs: list[Output] = []
    for each in messages:
        state, new = advance(state, each, known, rules)
        outputs.extend(new)
    return state, outputs


def replaced(record: Predicted, **changes: object) -> Predicted:
    """The prediction with other fields."""
    return msgspec.structs.replace(record, **changes)
