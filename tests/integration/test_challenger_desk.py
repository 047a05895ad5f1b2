"""The challengers' desk as a process on the real broker: killed between its file and its records, and behind them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import pytest

from config.settings import Settings, write
from homeostat.read_topic import read_topic
from streams.adapters.confluent import ConfluentReader
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.store import DirectoryStore
from streams.codec import decode_control
from streams.events import ChallengerScored
from streams.topics import CONTROL
from tests.core.challenger_lake import LakeBuilder, registered

PROGRAM: Final = """
import sys
from pathlib import Path
from types import SimpleNamespace
from config.settings import load
from drift.monitoring import ModelState
from drift.periods import Periods
from homeostat import agents
from streams.adapters.confluent import ConfluentReader, ConfluentWriter
from streams.adapters.crash_points import CrashOnce
from streams.adapters.prometheus import Meters
from tests.core.training_shop import POLICY

settings = load(sys.argv[1], {})
model, champion = sys.argv[2:]
state = ModelState(policy=POLICY, generation=1, champion=champion, periods=Periods(seconds=3_600))
reader, writer = ConfluentReader(settings.bootstrap_servers), ConfluentWriter(settings.bootstrap_servers)
desk = agents.challengers(
    settings,
    folder=SimpleNamespace(models=lambda: {model: state}),
    control=reader,
    writer=writer,
    meters=Meters(),
    crash=CrashOnce(settings.crash_at, settings.crashed),
)
while desk.turn():
    pass
print(desk.position()[model])
"""
ROOT: Final = Path(__file__).parent.parent.parent
POINTS: Final = ("", "agents:challenger_kept", "agents:challenger_written")


class Place:
    """A data directory with a served model of its own."""

    def __init__(self, root: Path, broker: EmbeddedBroker, model: str) -> None:
        self.model, self._broker = model, broker
        self.settings = Settings(data=str(root / model), bootstrap_servers=broker.bootstrap_servers)
        write(self.settings)
        blobs, self.champion = registered(model)
        store = DirectoryStore(self.settings.store)
        for blob in blobs.values():
            store.put(blob)
        self.lake = LakeBuilder(self.settings.lake)

    def process(self, crash_at: str = "") -> tuple[int, str]:
        """One life of the desk: its status, and what it said at its end."""
        write(msgspec.structs.replace(self.settings, crash_at=crash_at))
        program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{PROGRAM}"
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, self.settings.data, self.model, self.champion],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr[-3_000:]
        return done.returncode, done.stdout.strip()

    def told(self) -> list[ChallengerScored]:
        """What `control` has of it."""
        reader = ConfluentReader(self._broker.bootstrap_servers)
        try:
            records = [
                decode_control(message.value)
                for message in read_topic(reader, CONTROL, 20.0)
                if message.key == self.model.encode() and b"ChallengerScored" in message.value
            ]
        finally:
            reader.close()
        return [record for record in records if isinstance(record, ChallengerScored)]


def bare(record: ChallengerScored) -> tuple[object, ...]:
    """All that does not name the model or its release."""
    sums = ((s.period, s.labelled, s.n, s.champion, s.challenger, s.difference_squared) for s in record.scores)
    return record.partition, record.first_offset, record.end_offset, record.at, record.restarted, tuple(sums)


@pytest.mark.parametrize("point", POINTS)
def test_records_reach_control_once_or_alike(broker: EmbeddedBroker, tmp_path: Path, point: str) -> None:
    """Killed there and started again: what control has is what a desk in peace tells, at most told twice in the same words."""
    peaceful, killed = (
        Place(tmp_path, broker, f"challenged-{point.rpartition(':')[2]}-{name}") for name in ("in-peace", "killed")
    )
    for each in (peaceful, killed):
        assert each.process() == (0, "0")
        for partition in range(3):
            each.lake.both(range(partition, 90, 3), champion=each.champion, model=each.model, partition=partition)
    assert peaceful.process() == (0, "90")
    if point:
        assert killed.process(point) == (-signal.SIGKILL, "")
    assert killed.process(point) == (0, "90")
    whole = sorted(map(bare, peaceful.told()), key=str)
    told = killed.told()
    assert len(whole) == 3
    assert len({record.id for record in told}) == 3
    assert sorted({bare(record) for record in told}, key=str) == whole
    assert len(told) == (6 if point.endswith("written") else 3)
