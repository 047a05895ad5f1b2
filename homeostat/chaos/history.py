"""What a finished schedule left behind: the log, folded once more from its beginning, the routers' lives, and the truth."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from homeostat.chaos.broker import Broker
from homeostat.chaos.plan import Plan
from homeostat.chaos.releases import Releases
from homeostat.chaos.routers import Replica
from homeostat.chaos.traffic import Traffic
from homeostat.chaos.world import World
from homeostat.control_fold import PartitionState, fold
from homeostat.leader import owner, restore
from homeostat.model_state import ModelState
from streams import topics
from streams.codec import encode_json
from streams.events import Control, DeadLettered, Decided, Route, Snapshot
from streams.ports import Message

_control: Final = msgspec.json.Decoder(Control)

FROM_THE_BEGINNING: Final = 4
"""One schedule in so many is folded again whole, the others from a snapshot on."""

Place = tuple[int, int]
"""Partition and offset of a record of `control`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refolded:
    """`control` folded again, in one go and by nobody who ever crashed: what the log must hold from `begins` on."""

    begins: dict[int, int]
    """Offsets of `control`: 0, or where a snapshot was taken."""
    decisions: dict[int, list[bytes]]
    routes: dict[int, list[bytes]]
    states: dict[int, PartitionState]
    on_the_way: dict[Place, bytes]
    """Encoded states at the offsets at which snapshots were taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that the invariants look at. Lists are in the order of the log."""

    plan: Plan
    homes: dict[str, int]
    """The partition of every model."""
    control: dict[int, list[Message]]
    records: dict[Place, Control]
    """Those that can be decoded, whatever their key and place."""
    decisions: list[Decided]
    decision_bytes: dict[int, list[bytes]]
    """As far as they were folded again; so are those of routes."""
    routes: list[Route]
    route_bytes: dict[int, list[bytes]]
    letters: list[DeadLettered]
    snapshots: list[Snapshot]
    refolded: Refolded
    routers: list[Replica]
    traffic: Traffic
    releases: Releases
    forgotten: set[str]
    """Runs that were open and that the trainer did not know of."""

    def model_decisions(self) -> dict[str, list[Decided]]:
        """Decisions by model; what came to a partition that is not the model's was refused, and is left out."""
        found: dict[str, list[Decided]] = defaultdict(list)
        for decision in self.decisions:
            if decision.partition == self.homes.get(decision.model):
                found[decision.model].append(decision)
        return {model: found[model] for model in self.plan.policies}

    def by_place(self, model: str) -> dict[int, list[Decided]]:
        """The decisions of a model, by the offset of what they are about."""
        found: dict[int, list[Decided]] = defaultdict(list)
        for decision in self.model_decisions()[model]:
            found[decision.offset].append(decision)
        return found

    def taken_at(self, decision: Decided) -> datetime:
        """When the broker took the record that a decision is about."""
        return next(one.broker_time for one in self.control[decision.partition] if one.offset == decision.offset)

    def model_routes(self) -> dict[str, list[Route]]:
        """Routes by model."""
        found: dict[str, list[Route]] = defaultdict(list)
        for route in self.routes:
            found[route.model].append(route)
        return {model: found[model] for model in self.plan.policies}

    def states(self) -> dict[str, ModelState]:
        """The state of every model after the whole log."""
        return {name: model for state in self.refolded.states.values() for name, model in state.models.items()}


def gathered(world: World) -> History:
    """Read everything that is committed."""
    broker = world.broker
    control = {number: broker.read(topics.CONTROL, number, 0)[0] for number in broker.numbers}
    decided = {number: broker.read(topics.DECISIONS, number, 0)[0] for number in broker.numbers}
    routed = {number: broker.read(topics.ROUTES, number, 0)[0] for number in broker.numbers}
    letters = _all(broker, topics.DEAD_LETTERS)
    snapshots = [msgspec.msgpack.decode(message.value, type=Snapshot) for message in _all(broker, topics.SNAPSHOTS)]
    begins = _begins(world.plan.seed, snapshots)
    again = refolded(control, snapshots, begins)
    decisions = [broker.decision(message) for messages in decided.values() for message in messages]
    comparable = {one.id for one in decisions if one.offset >= again.begins.get(one.partition, 0)}
    return History(
        plan=world.plan,
        homes=broker.partitions,
        control=control,
        records=_decoded(control),
        decisions=decisions,
        decision_bytes={
            number: [message.value for message in messages if broker.decision(message).id in comparable]
            for number, messages in decided.items()
        },
        routes=[broker.route(message) for messages in routed.values() for message in messages],
        route_bytes={
            number: [message.value for message in messages if broker.route(message).decision in comparable]
            for number, messages in routed.items()
        },
        letters=[msgspec.json.decode(message.value, type=DeadLettered) for message in letters],
        snapshots=snapshots,
        refolded=again,
        routers=world.routers,
        traffic=world.traffic,
        releases=world.releases,
        forgotten=world.trainer.forgotten,
    )


def refolded(control: dict[int, list[Message]], snapshots: list[Snapshot], begins: dict[int, Snapshot]) -> Refolded:
    """Fold from the beginning, or from a snapshot where one is named; encode the state wherever a later one was taken."""
    stops = {(snapshot.partition, snapshot.offset) for snapshot in snapshots}
    decisions: dict[int, list[bytes]] = defaultdict(list)
    routes: dict[int, list[bytes]] = defaultdict(list)
    states: dict[int, PartitionState] = {}
    on_the_way: dict[Place, bytes] = {}
    for number, messages in control.items():
        state = restore(begins[number]) if number in begins else PartitionState()
        for message in messages:
            if message.offset < state.offset:
                continue
            state, folded = fold(state, message)
            decisions[number] += [encode_json(decision) for decision in folded.decisions]
            if folded.route is not None:
                routes[number].append(encode_json(folded.route))
            if (number, state.offset) in stops:
                on_the_way[number, state.offset] = msgspec.msgpack.encode(state)
        states[number] = state
    return Refolded(
        begins={number: snapshot.offset for number, snapshot in begins.items()},
        decisions=decisions,
        routes=routes,
        states=states,
        on_the_way=on_the_way,
    )


def _begins(seed: int, snapshots: list[Snapshot]) -> dict[int, Snapshot]:
    """For one seed in four none; else, for each partition, a snapshot taken on the way."""
    if seed % FROM_THE_BEGINNING == 0:
        return {}
    of_partition: dict[int, list[Snapshot]] = defaultdict(list)
    for snapshot in snapshots:
        of_partition[snapshot.partition].append(snapshot)
    rng = random.Random(f"snapshots/{seed}")
    return {number: rng.choice(taken) for number, taken in of_partition.items()}


def snapshot_owner(snapshot: Snapshot) -> bool:
    """Whether a snapshot is a controller's."""
    return snapshot.id == owner(snapshot.partition)


def _decoded(control: dict[int, list[Message]]) -> dict[Place, Control]:
    records: dict[Place, Control] = {}
    for number, messages in control.items():
        for message in messages:
            try:
                records[number, message.offset] = _control.decode(message.value)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
    return records


def _all(broker: Broker, topic: str) -> list[Message]:
    partitions = range(topics.named(topic).partitions)
    return [message for number in partitions for message in broker.read(topic, number, 0)[0]]
