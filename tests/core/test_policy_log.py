"""What the controller refuses acts nowhere else either."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from streams import topics
from streams.codec import encode_json
from streams.events import Control, PolicySet
from streams.policy import Policy
from streams.policy_log import PolicyLog
from streams.ports import Message
from tests.core.control_log import BROKER_T0, EVENT_T0, POLICY, ControlLog, registered, retrain


def message(record: Control, offset: int, key: bytes = b"m") -> Message:
    return Message(topic=topics.CONTROL, partition=0, offset=offset, broker_time=BROKER_T0, key=key, value=encode_json(record))


def policy_set(number: int = 1, policy: Policy = POLICY) -> PolicySet:
    return PolicySet(id=f"p-{number}", at=EVENT_T0, model="m", actor="ada", reason="", policy=policy)


def acting(*records: Control, first: int = 0) -> list[str]:
    log = PolicyLog()
    found = [log.acting(message(record, first + place)) for place, record in enumerate(records)]
    return [record.id for record in found if record is not None]


HIDES = msgspec.structs.replace(POLICY, log={"ssn": "drop"})
FAULTY = msgspec.structs.replace(POLICY, training=msgspec.structs.replace(POLICY.training, trials=0))


@pytest.mark.parametrize(
    "records",
    [
        (registered(), policy_set(), retrain()),
        (policy_set(), registered(policy=HIDES)),
        (registered(policy=HIDES), registered()),
        (registered(), policy_set(2, HIDES), policy_set(1), policy_set(2, HIDES)),
        (registered(policy=HIDES), policy_set(1, FAULTY)),
        (registered(policy=FAULTY), registered(policy=HIDES)),
        (registered(policy=HIDES), msgspec.structs.replace(policy_set(), at=BROKER_T0 + timedelta(minutes=9))),
    ],
)
def test_it_says_of_every_policy_what_the_controller_decides_on_it(records: tuple[Control, ...]) -> None:
    """The last one that acts is the one in force there."""
    log, controller = PolicyLog(), ControlLog()
    acted = None
    for offset, record in enumerate(records):
        controller.tell(record)
        acted = log.acting(message(record, offset)) or acted
    (state,) = controller.state.models.values()
    assert acted is not None
    assert acted.policy == state.policy  # type: ignore[union-attr]  # only policies were told


def test_where_the_beginning_is_no_longer_kept_a_policy_acts_without_its_registration() -> None:
    """Retention has taken the registration; what was set since holds."""
    assert acting(policy_set(), first=0) == []
    assert acting(policy_set(), first=7) == ["p-1"]


def test_a_record_under_another_models_key_does_not_act() -> None:
    """The controller refuses it."""
    log = PolicyLog()
    log.acting(message(registered(), 0))
    assert log.acting(message(policy_set(), 1, key=b"other")) is None
