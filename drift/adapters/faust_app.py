"""Hosts a fold of `windows` on Faust. The one module that makes Faust applications; Faust only brings the messages.

Faust 0.15.3, as measured and read: a body that raises or is cancelled acknowledges its message, and messages buffered at
a rebalance are acknowledged unseen. So nothing here rests on acknowledgements: the fold knows the offset that it covers,
reads again whatever it was not shown, and its outputs have ids derived from their causes. One message at a time
(`concurrency=1`), in one thread of its own, so that heartbeats go on; no tables, no web server, no exactly-once.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from drift.progress import Progress, watched
from streams.ports import LogUnavailable, Message, PositionLost
from streams.topics import WINDOWS

GROUP: Final = "homeostat-agents"
SESSION_S: Final = 8.0
"""How long a killed process keeps its partitions (Faust's default: 55 s until another has them)."""
TURN_S: Final = 0.1
CHECK_EVERY_S: Final = 2.0
STOP_S: Final = 5.0
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CONNECTION_LOGGERS: Final = (
    "aiokafka",
    "aiokafka.conn",
    "aiokafka.cluster",
    "aiokafka.consumer.fetcher",
    "aiokafka.consumer.group_coordinator",
    "aiokafka.producer.sender",
)
T = TypeVar("T")

log = logging.getLogger("homeostat.agents")


class Desk(Protocol):
    """What is hosted. Every method is called from one and the same thread."""

    def handle(self, message: Message) -> None:
        """Fold one message and have its outputs acknowledged; a repeat is dropped, a gap before it read again."""

    def restore(self, upto: Mapping[int, int]) -> None:
        """Fold what is not folded of each partition, up to an offset."""

    def bury(self, message: Message, error: Exception) -> None:
        """Write a message that the fold cannot take to the dead letters, and go on behind it."""

    def turn(self) -> None:
        """Once a second: snapshots that are due."""

    def folded(self) -> Mapping[int, int]:
        """By partition, the offset up to which all is folded."""

    def close(self) -> None:
        """Nothing more comes: all snapshots."""

    def ends(self, partitions: Sequence[int]) -> Mapping[int, int]:
        """By partition, the end of the log. Raises LogUnavailable."""


class StuckError(Exception):
    """Windows wait, or offsets are not committed, and nothing moves: the process must start anew."""


def serve(
    desk: Desk, *, bootstrap_servers: str, instance: str, directory: Path, stop: threading.Event, stuck_s: float = 60.0
) -> None:
    """Host until `stop`. Raises what ended it otherwise: StuckError, LogUnavailable, or Faust's own failure.

    `instance` names this process in its group: started again under the same name, it has its partitions back at once
    instead of after the session timeout, and a zombie of the same name is fenced.
    """
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in CONNECTION_LOGGERS:
        logging.getLogger(name).addFilter(_Seldom())
    asyncio.run(_Host(desk, stop, stuck_s).run(_application(bootstrap_servers, instance, directory)))


class _Seldom(logging.Filter):
    """Lets one line through in ten seconds: a client knocks at a dead broker ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is worth writing."""
        if record.levelno < logging.WARNING or record.created < self._next:
            return False
        self._next = record.created + 10.0
        return True


class _Host:
    """One application and the thread that folds."""

    def __init__(self, desk: Desk, stop: threading.Event, stuck_s: float) -> None:
        self._desk = desk
        self._stop = stop
        self._stuck_s = stuck_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fold")
        self._failure: BaseException | None = None
        self._restored: set[int] = set()
        self._progress = Progress()

    async def run(self, app: Any) -> None:
        topic = app.topic(WINDOWS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        app.agent(topic, concurrency=1, name="windows")(self._body)
        await app.start()
        try:
            await self._oversee(app)
        finally:
            self._stop.set()  # whatever waits in the fold's thread gives up
            await _within(app.stop(), STOP_S, "Faust did not stop")
            await _within(self._fold(self._desk.close), STOP_S, "the last snapshots were not written")
            self._thread.shutdown(wait=False, cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    async def _body(self, stream: Any) -> None:
        """The agent: never raises. What it cannot take is buried first; where that fails too, the process ends."""
        async for event in stream.events():
            message = _message(event)
            try:
                await self._fold(self._desk.handle, message)
            except (LogUnavailable, PositionLost, OSError) as error:  # not the message's fault: it is folded after a start
                await self._give_up(error)
            except Exception as error:  # noqa: BLE001 - whatever the fold cannot take must not stop the other models
                await self._bury(message, error)

    async def _bury(self, message: Message, error: Exception) -> None:
        if self._stop.is_set():
            return
        log.exception("windows-%d offset %d cannot be folded", message.partition, message.offset, exc_info=error)
        try:
            await self._fold(self._desk.bury, message, error)
        except Exception as failure:  # noqa: BLE001 - the process ends with it
            await self._give_up(failure)

    async def _give_up(self, error: Exception) -> None:
        """End the process without acknowledging: wait here until the application is stopped."""
        self._failure = self._failure or error
        await asyncio.Event().wait()

    async def _fold(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    async def _oversee(self, app: Any) -> None:
        """Until stopped or failed: restore what is newly assigned, take snapshots, watch the offsets."""
        check_at = turn_at = 0.0
        errand: asyncio.Future[None] | None = None
        while not self._stop.is_set() and self._failure is None:
            if app.crashed:
                raise app.crash_reason or StuckError("Faust crashed without saying why")
            now = time.monotonic()
            if errand is not None and errand.done():
                self._failure, errand = self._failure or (None if self._stop.is_set() else errand.exception()), None
            if errand is None:
                assigned = {tp.partition for tp in app.consumer.assignment() if tp.topic == WINDOWS}
                if assigned != self._restored:
                    errand = asyncio.ensure_future(self._take_over(app, assigned))
                elif now >= check_at:
                    check_at = now + CHECK_EVERY_S
                    errand = asyncio.ensure_future(self._check(app, sorted(assigned), now))
                elif now >= turn_at:
                    turn_at = now + 1.0
                    errand = asyncio.ensure_future(self._fold(self._desk.turn))
            await asyncio.sleep(TURN_S)
        if errand is not None:
            errand.cancel()

    async def _take_over(self, app: Any, assigned: set[int]) -> None:
        """Fold newly assigned partitions up to where Faust resumes, so that the state is whole before the next window."""
        starts = {tp.partition: await app.consumer.position(tp) for tp in app.consumer.assignment() if tp.topic == WINDOWS}
        new = {partition: offset or 0 for partition, offset in starts.items() if partition not in self._restored}
        if new:
            await self._fold(self._desk.restore, new)
        self._restored = assigned

    async def _check(self, app: Any, assigned: Sequence[int], now: float) -> None:
        """Read what Faust did not bring; raise StuckError where nothing moves for too long."""
        try:
            ends = await self._fold(self._desk.ends, assigned)
        except LogUnavailable as error:
            log.warning("the ends of the windows are not known now: %s", error)
            self._progress = Progress()
            return
        folded = await self._fold(self._desk.folded)
        committed = {tp.partition: offset for tp, offset in app.monitor.tp_committed_offsets.items() if tp.topic == WINDOWS}
        self._progress, seen = watched(
            self._progress, now, ends=ends, folded=folded, committed=committed, waiting_s=CHECK_EVERY_S, stuck_s=self._stuck_s
        )
        if seen.stuck:
            raise StuckError(seen.stuck)
        if seen.not_brought:
            log.warning("reading windows that Faust did not bring: %s", seen.not_brought)
            await self._fold(self._desk.restore, seen.not_brought)


def _application(bootstrap_servers: str, instance: str, directory: Path) -> Any:
    import faust  # heavy, and only this role needs it

    return faust.App(
        GROUP,
        broker=";".join(f"kafka://{server}" for server in bootstrap_servers.split(",")),
        datadir=str(directory),
        store="memory://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_group_instance_id=instance,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 4,
        broker_request_timeout=20.0,
        broker_commit_interval=0.5,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=8 * 2**20,
        stream_buffer_maxsize=64,
        stream_wait_empty=False,
        worker_redirect_stdouts=False,
    )


def _message(event: Any) -> Message:
    raw = event.message
    return Message(
        topic=raw.topic,
        partition=raw.partition,
        offset=raw.offset,
        broker_time=EPOCH + timedelta(milliseconds=round(raw.timestamp * 1000)),
        key=raw.key or b"",
        value=raw.value or b"",
    )


async def _within(work: Any, seconds: float, otherwise: str) -> None:
    try:
        await asyncio.wait_for(work, seconds)
    except TimeoutError:
        log.error("%s within %.0f s; the process ends without it", otherwise, seconds)
