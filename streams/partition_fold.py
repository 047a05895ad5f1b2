"""The fold of one partition of `predictions` or `labels`: messages in, windows, lake stretches and refusals out.

Rules, in the order in which they are applied to each message:
1. A row whose contract or release is not loaded blocks: nothing changes, the caller loads (or refuses) and comes again.
2. A message of a later tick ends the open window; one of a later lake tick ends the open stretch after it.
3. A heartbeat does no more. Every other record is in a window and a stretch, and opens them where none is open.
4. Refused records and repeats (same epoch and sequence number) are not counted as rows and do not enter the lake.
5. A full window ends with its last record, and so does a stretch that is full at the end of a window.

A state given to `advance` or `refuse` is used up: windows and bitmaps are changed in place. Go on with the state returned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from streams import lake_file
from streams.contract import Contract
from streams.events import HeartBeaten, WindowCounted
from streams.lake_file import Stretch
from streams.lake_row import LabelRow, PredictionRow, Refused, label_row, prediction_row
from streams.ports import Message
from streams.prediction_id import Sealer
from streams.repeats import PageTaken, Repeats
from streams.scoring import losses_of, mismatch
from streams.topics import LABELS
from streams.window import MAXIMUM_RECORDS, Window

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldRules:
    """What is the same for every partition and must not change between two readings."""

    sealer: Sealer
    horizon: timedelta
    tick_ms: int
    lake_tick_ms: int
    maximum_records: int = MAXIMUM_RECORDS
    maximum_stretch: int = lake_file.MAXIMUM_ROWS


@dataclass(slots=True)
class Known:
    """Contracts, and the models of releases, that have been loaded; by digest."""

    contracts: dict[str, Contract] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """Where the fold of one partition stands."""

    topic: str
    partition: int
    next_offset: int = 0
    chain: Mapping[str, int] = field(default_factory=dict)
    """By model: first offset of its last window."""
    repeats: Repeats = field(default_factory=Repeats)
    window: Window | None = None
    stretch: Stretch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowEnded:
    """A window to publish (one record for each model in it) and its rows for the lake."""

    counted: tuple[WindowCounted, ...]
    rows: tuple[PredictionRow | LabelRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchEnded:
    """A lake file to write, and with what the fold can begin again at its end."""

    stretch: Stretch
    chain: Mapping[str, int]
    pages: tuple[PageTaken, ...]
    at: datetime
    """Broker time of its last record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A record for the dead letters."""

    message: Message
    refused: Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatDropped:
    """A row that came before."""

    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The message was not folded: a digest that it names is not loaded. `sealed`: we issued it ourselves, so it exists."""

    message: Message
    digest: str
    is_contract: bool
    sealed: bool


Output = WindowEnded | StretchEnded | Refusal | RepeatDropped | Blocked
Parsed = PredictionRow | LabelRow | HeartBeaten | Refused


def advance(state: PartitionState, message: Message, known: Known, rules: FoldRules) -> tuple[PartitionState, tuple[Output, ...]]:
    """Fold one message."""
    parsed = label_row(message, rules.sealer, rules.horizon) if message.topic == LABELS else prediction_row(message)
    blocked = _blocked(message, parsed, known)
    if blocked is not None:
        return state, (blocked,)
    return _fold(state, message, parsed, known, rules)


def refuse(
    state: PartitionState, message: Message, refused: Refused, known: Known, rules: FoldRules
) -> tuple[PartitionState, tuple[Output, ...]]:
    """Fold a message that blocked as one that cannot be used."""
    return _fold(state, message, refused, known, rules)


def milliseconds(at: datetime) -> int:
    """Since 1970, rounded down."""
    return (at - _EPOCH) // _MILLISECOND


def _blocked(message: Message, parsed: Parsed, known: Known) -> Blocked | None:
    if isinstance(parsed, PredictionRow):
        if parsed.predicted.contract not in known.contracts:
            return Blocked(message=message, digest=parsed.predicted.contract, is_contract=True, sealed=False)
        for output in parsed.predicted.outputs:
            if output.release not in known.releases:
                return Blocked(message=message, digest=output.release, is_contract=False, sealed=False)
    elif isinstance(parsed, LabelRow) and parsed.sealed.contract not in known.contracts:
        return Blocked(message=message, digest=parsed.sealed.contract, is_contract=True, sealed=True)
    return None


def _fold(
    state: PartitionState, message: Message, parsed: Parsed, known: Known, rules: FoldRules
) -> tuple[PartitionState, tuple[Output, ...]]:
    now_ms = milliseconds(message.broker_time)
    state, ended = _end_before(state, now_ms, rules)
    if isinstance(parsed, HeartBeaten):
        return replace(state, next_offset=message.offset + 1), ended
    first, end = message.offset, message.offset + 1
    window = state.window or Window(
        topic=state.topic, partition=state.partition, first_offset=first, end_offset=end, tick=now_ms // rules.tick_ms
    )
    stretch = state.stretch or Stretch(
        first_offset=first, end_offset=first, lake_tick=now_ms // rules.lake_tick_ms, records=0, last_ms=now_ms
    )
    window.extend(end, now_ms)
    outputs = _count(window, message, parsed, state.repeats, known)
    state = PartitionState(
        topic=state.topic,
        partition=state.partition,
        next_offset=end,
        chain=state.chain,
        repeats=state.repeats,
        window=window,
        stretch=stretch,
    )
    if window.records >= rules.maximum_records:
        state, full = _end_window(state, window, stretch, rules)
        outputs = (*outputs, *full)
    return state, (*ended, *outputs)


def _count(window: Window, message: Message, parsed: Parsed, repeats: Repeats, known: Known) -> tuple[Output, ...]:
    """Count a record into the open window."""
    if isinstance(parsed, PredictionRow):
        predicted, contract = parsed.predicted, known.contracts[parsed.predicted.contract]
        problem = mismatch(contract, predicted, known.releases)
        if problem is None:
            counts = window.counts_of(predicted.model, predicted.at)
            if repeats.seen(predicted.epoch, predicted.seq, window.last_ms):
                counts.add_repeat(predicted.at)
                return (RepeatDropped(model=predicted.model),)
            counts.add_prediction(predicted, contract)
            window.rows.append(parsed)
            return ()
        parsed = problem
    elif isinstance(parsed, LabelRow):
        losses = losses_of(known.contracts[parsed.sealed.contract], parsed)
        if not isinstance(losses, Refused):
            sealed, at = parsed.sealed, parsed.labelled.at
            counts = window.counts_of(sealed.model, at)
            if repeats.seen(sealed.epoch, sealed.seq, window.last_ms):
                counts.add_repeat(at)
                return (RepeatDropped(model=sealed.model),)
            counts.add_label(parsed, losses)
            window.rows.append(parsed)
            return ()
        parsed = losses
    assert isinstance(parsed, Refused), f"a heartbeat is not counted, got {parsed}"
    return (Refusal(message=message, refused=parsed),)


def _end_before(state: PartitionState, now_ms: int, rules: FoldRules) -> tuple[PartitionState, tuple[Output, ...]]:
    """End what a message of that broker time does not belong to any more."""
    outputs: tuple[Output, ...] = ()
    window, stretch = state.window, state.stretch
    if window is not None and stretch is not None and window.ends_before(now_ms // rules.tick_ms):
        state, outputs = _end_window(state, window, stretch, rules)
    window, stretch = state.window, state.stretch
    if window is None and stretch is not None and lake_file.ends_before(stretch, now_ms // rules.lake_tick_ms):
        state, ended = _end_stretch(state, stretch, rules)
        outputs = (*outputs, *ended)
    return state, outputs


def _end_window(
    state: PartitionState, window: Window, stretch: Stretch, rules: FoldRules
) -> tuple[PartitionState, tuple[Output, ...]]:
    models = sorted(window.models)
    counted = tuple(window.counted(model, state.chain.get(model, -1)) for model in models)
    stretch = stretch.extended(window.end_offset, window.records, window.last_ms)
    state = replace(state, window=None, stretch=stretch, chain={**state.chain, **dict.fromkeys(models, window.first_offset)})
    outputs: tuple[Output, ...] = (WindowEnded(counted=counted, rows=tuple(window.rows)),)
    if lake_file.ends_full(stretch, rules.maximum_stretch):
        state, ended = _end_stretch(state, stretch, rules)
        outputs = (*outputs, *ended)
    return state, outputs


def _end_stretch(state: PartitionState, stretch: Stretch, rules: FoldRules) -> tuple[PartitionState, tuple[Output, ...]]:
    state.repeats.forget(stretch.last_ms - rules.horizon // _MILLISECOND)
    ended = StretchEnded(
        stretch=stretch,
        chain=state.chain,
        pages=state.repeats.take(),
        at=_EPOCH + stretch.last_ms * _MILLISECOND,
    )
    return replace(state, stretch=None), (ended,)
