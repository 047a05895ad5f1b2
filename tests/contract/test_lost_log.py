"""Nothing starts beside the traces of a log that is gone, and whoever gives it up is told all that speaks of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from config.settings import Settings
from homeostat.lost_log import lost_log
from homeostat.restore import CannotRestore, restore
from serving.adapters.model_cache import ModelCache, last_known
from streams.adapters.store import DirectoryStore
from tests.core.control_log import ControlLog, registered


def lake(root: Path) -> None:
    made = root / "lake" / "predictions" / "m" / "0.parquet"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"rows")


def repeats(root: Path) -> None:
    made = root / "repeats" / "predictions-0" / "ab"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"bits")


def unreadable_mirror(root: Path) -> None:
    made = root / "mirror" / "ab" / f"state-{1:08d}-{9:020d}"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"rot")


def served(root: Path) -> None:
    log = ControlLog()
    log.tell(registered())
    ModelCache(root / "serving-cache", DirectoryStore(root / "store")).remember(last_known(log.routes, {}))


TRACES: list[Callable[[Path], None]] = [lake, repeats, unreadable_mirror, served]


@pytest.mark.parametrize("left", TRACES)
@pytest.mark.parametrize("empty", [True, False])
def test_an_empty_broker_beside_traces_of_a_log_is_refused(tmp_path: Path, left: Callable[[Path], None], empty: bool) -> None:
    if empty:
        (tmp_path / "broker" / "data" / "control-0").mkdir(parents=True)
    settings = Settings(data=str(tmp_path))
    left(tmp_path)
    assert "begin anew: move " in lost_log(settings)
    assert lost_log(msgspec.structs.replace(settings, bootstrap_servers="elsewhere:9092")) == ""


def test_all_that_speaks_of_the_old_log_is_named(tmp_path: Path) -> None:
    for left in TRACES:
        left(tmp_path)
    (tmp_path / "faust").mkdir()
    said = lost_log(Settings(data=str(tmp_path)))
    for name in ("mirror", "lake", "repeats", "faust", "serving-cache"):
        assert f"{tmp_path / name}" in said
    with pytest.raises(CannotRestore) as refused:
        restore(Settings(data=str(tmp_path)), actor="ada", reason="lost", say=print)
    assert f"{tmp_path / 'serving-cache'}" in str(refused.value)


def test_a_first_start_and_a_log_that_is_there_are_let_be(tmp_path: Path) -> None:
    """Also after a first start that had nothing to keep."""
    for name in ("lake", "repeats/predictions-0", "faust", "mirror", "serving-cache"):
        (tmp_path / name).mkdir(parents=True)
    ModelCache(tmp_path / "serving-cache", DirectoryStore(tmp_path / "store")).remember(last_known([], {}))
    assert lost_log(Settings(data=str(tmp_path))) == ""
    lake(tmp_path)
    made = tmp_path / "broker" / "data" / "control-0" / "0.log"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"record")
    assert lost_log(Settings(data=str(tmp_path))) == ""
