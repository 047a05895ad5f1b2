"""What a restore brings back, what it says of the rest, and what it takes from serving's own memory."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from config.settings import Settings
from homeostat.brought_back import NotBroughtBack, back, lost_since
from homeostat.commands.restore import next_step
from homeostat.last_served import LastServed, last_served
from homeostat.mirror import Mirror, Mirrored, newest
from homeostat.restore import CannotRestore, restore
from serving.adapters.model_cache import ModelCache, last_known
from streams.adapters.store import DirectoryStore
from streams.events import Restored
from tests.core.control_log import BROKER_T0, EVENT_T0, ControlLog, registered


@pytest.fixture
def mirrored(tmp_path: Path) -> Mirrored:
    log = ControlLog()
    log.tell(registered())
    state = log.state.models["m"]
    Mirror(tmp_path / "mirror").keep(state, partition=log.partition, offset=1, decisions=log.decisions)
    (one,) = newest(tmp_path / "mirror")
    return one


def changed(one: Mirrored, **values: object) -> Mirrored:
    state = msgspec.msgpack.decode(one.state)
    return msgspec.structs.replace(one, state=msgspec.msgpack.encode({**state, **values}))


def test_what_comes_back_is_taken_by_the_fold(mirrored: Mirrored) -> None:
    made = back(mirrored, None, actor="ada", reason="lost", now=BROKER_T0)
    assert (made.model, made.incarnation, made.champion) == ("m", 2, "first")
    assert made.as_of == EVENT_T0
    log = ControlLog()
    assert log.tell(made.records[0]) == ["Restored"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"watermark": "soon"}, "cannot be read"),
        ({"policy": {"canary": {"margin": -1.0}}}, "margin"),
        ({"model": "another"}, "of model 'another'"),
        ({"accepted": ["x" * 200_000]}, "bytes"),
    ],
)
def test_a_state_that_would_be_refused_is_not_announced(mirrored: Mirrored, values: dict[str, object], why: str) -> None:
    with pytest.raises(NotBroughtBack, match=why):
        back(changed(mirrored, **values), None, actor="ada", reason="lost", now=BROKER_T0)


def test_a_route_of_serving_that_is_newer_is_said_and_gone_beyond(mirrored: Mirrored) -> None:
    """Serving takes no route that is older than its own."""
    same = LastServed(model="m", incarnation=1, generation=1, champion="first")
    assert lost_since(mirrored, None) == lost_since(mirrored, same) == ""
    newer = LastServed(model="m", incarnation=3, generation=1, champion="second")
    assert "generation 1 with first, while serving was at 3, 1 with second" in lost_since(mirrored, newer)
    made = back(mirrored, newer, actor="ada", reason="lost", now=BROKER_T0)
    assert made.incarnation == 4
    assert isinstance(made.records[0], Restored)


def test_what_serving_keeps_is_read(tmp_path: Path) -> None:
    log = ControlLog()
    log.tell(registered())
    ModelCache(tmp_path / "serving-cache", DirectoryStore(tmp_path / "store")).remember(last_known(log.routes, {}))
    assert last_served(tmp_path) == {"m": LastServed(model="m", incarnation=1, generation=1, champion="first")}
    (tmp_path / "serving-cache" / "routes.json").write_bytes(b"{")
    assert last_served(tmp_path) == {}


def test_with_nothing_to_bring_back_nothing_is_changed(mirrored: Mirrored, tmp_path: Path) -> None:
    (kept,) = (tmp_path / "mirror").glob("*/state-*")
    kept.write_bytes(msgspec.msgpack.encode(changed(mirrored, watermark="soon")))
    with pytest.raises(CannotRestore, match="m is not brought back: its state cannot be read"):
        restore(Settings(data=str(tmp_path)), actor="ada", reason="lost", say=print)
    assert not (tmp_path / "broker").exists()


def test_the_next_step_leads_to_the_log_that_was_made() -> None:
    assert next_step("/d", None) == "homeostat up --data /d"
    assert next_step("/a b", "k:9092") == "homeostat up --data '/a b' --bootstrap-servers k:9092"
