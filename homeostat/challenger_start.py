"""How a challenger begins, and why it begins anew: with the rows that a training would take, so that it is no fresher than one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from drift.challenger import Challenger, Shape, fresh, warmed
from homeostat.challenger_state import ChallengerState, Heard
from homeostat.served_rows import ABOUT
from streams.contract import Contract
from streams.encoding import encode_columns
from streams.policy import Policy
from streams.release import BlobStore
from streams.topics import LABELS, PREDICTIONS, named
from trainer.adapters.formats import FORMATS
from trainer.adapters.found_rows import FoundRows
from trainer.adapters.lake_files import PLACES, LakeFile, LakeFiles
from trainer.dataset import assemble, sought_rows
from trainer.left_out import LeavingOut
from trainer.table import encode_target

ALWAYS: Final = datetime(9999, 1, 1, tzinfo=UTC)
PARTITIONS: Final = range(named(LABELS).partitions)
COUNTED_FILES: Final = 100
"""Label files whose rows are counted in one step."""
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What a challenger must know of its model: what it says changes by policy, release and incident."""

    name: str
    policy: Policy
    champion: str
    contract_digest: str
    contract: Contract
    registration: str
    """Digest of the table that it was registered with; empty: there is none."""
    heard: Heard

    @property
    def leaving(self) -> LeavingOut:
        """Which rows are not learnt from."""
        heard = self.heard
        return LeavingOut(
            quarantine=heard.rules, accepted=heard.accepted, released=heard.released, quarantining=heard.quarantining
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A challenger at its beginning; `learnt_until`: the newest row it was warmed by."""

    challenger: Challenger
    learnt_until: datetime | None


def place_of(partition: int) -> str:
    """How a partition is named in `covers`.

    >>> place_of(3)
    'labels-3'
    """
    return f"{LABELS}-{partition}"


def reason_to_begin(state: ChallengerState, challenger: Challenger, model: Model, lake: LakeFiles) -> str:
    """Why the challenger of that state cannot go on; '': it can."""
    if state.contract != model.contract_digest:
        return "the contract changed"
    if is_of_another_log(state, lake):
        return "the log is another"
    if max(challenger.memories) != max(float(model.policy.training.window_rows), 1.0):
        return "the training window changed"
    before, now = state.heard, model.heard
    if before == now:
        return ""
    if fresh_incidents := [rule.incident for rule in now.rules if rule.incident not in before.incidents]:
        return f"a data bug is known: incident {', '.join(fresh_incidents)}"
    if before.released != now.released:
        return "a person released an incident"
    if before.accepted != now.accepted:
        return "a person accepted a change"
    if before.quarantining != now.quarantining:
        return "the policy of quarantine changed"
    return "a data bug is over"


def is_of_another_log(state: ChallengerState, lake: LakeFiles) -> bool:
    """Whether what it covers is of a log that the lake is not of any more. An empty lake says nothing: it may be away."""
    return has_more_aside(state, lake) or (_has_files(lake) and _is_beyond(state.covers, lake))


def has_more_aside(state: ChallengerState, lake: LakeFiles) -> bool:
    """Whether a lake was set aside since; one that was removed is no new log."""
    return any(aside.name not in state.lakes for aside in lake.set_aside)


def covers_of_new_log(before: ChallengerState, lake: LakeFiles) -> dict[str, int]:
    """What is passed over where the log is another: nothing, if the covers cannot be of this lake; else what it has already."""
    return {} if _has_files(lake) and _is_beyond(before.covers, lake) else present_ends(lake)


def present_ends(lake: LakeFiles) -> dict[str, int]:
    """By partition of labels, where the lake of the present log ends."""
    ends = {place_of(partition): lake.end(LABELS, partition) for partition in PARTITIONS}
    return {place: end for place, end in ends.items() if end}


def _is_beyond(covers: Mapping[str, int], lake: LakeFiles) -> bool:
    ends = present_ends(lake)
    return any(end > ends.get(place, 0) for place, end in covers.items())


def _has_files(lake: LakeFiles) -> bool:
    return any(lake.end(*place) for place in PLACES)


def cold(model: Model) -> Challenger:
    """One that knows nothing."""
    training = model.policy.training
    return fresh(Shape.of(model.contract), float(training.window_rows), training.seed)


def begun(model: Model, lake: LakeFiles, store: BlobStore, covers: Mapping[str, int]) -> Begun:
    """One warmed by the newest rows labelled in the files covered, filled up with those of the registration."""
    training = model.policy.training
    found = FoundRows(model.name, ALWAYS)
    found.add_newest(lake, _worth_reading(model.name, lake, covers), sought_rows(training))
    registered = FORMATS.from_parquet(store.get(model.registration), model.contract) if model.registration else None
    table = assemble(
        contract=model.contract,
        rows=found.rows({}),
        registration=registered,
        policy=training,
        as_of=ALWAYS,
        leaving=model.leaving,
    ).table
    challenger = cold(model)
    if table.rows:
        matrix = encode_columns(model.contract, table.columns)
        challenger = warmed(challenger, matrix, encode_target(model.contract.target, table.target))
    return Begun(challenger=challenger, learnt_until=max((at for at in table.at if at is not None), default=None))


def label_rows(model: str, lake: LakeFiles, covers: Mapping[str, int]) -> int:
    """Label rows of the model in the present log's files covered."""
    return sum(lake.rows_by_model(file).get(model, 0) for file in _covered(lake, covers) if file.present)


def counted(lake: LakeFiles, limit: int = COUNTED_FILES) -> bool:
    """Count the rows of some more label files; True: all are counted, and to begin takes no long time."""
    uncounted = (file for number in PARTITIONS for file in lake.listed(LABELS, number) if not lake.is_counted(file))
    some = list(islice(uncounted, limit + 1))
    for file in some[:limit]:
        lake.rows_by_model(file)
    return len(some) <= limit


def _worth_reading(model: str, lake: LakeFiles, covers: Mapping[str, int]) -> list[LakeFile]:
    """Label files covered that have rows of the model, and prediction files not older than what those speak of."""
    labels = [file for file in _covered(lake, covers) if lake.rows_by_model(file).get(model)]
    spans = [span for file in labels if (span := lake.span(file)) is not None]
    if not spans:
        return []
    oldest = min(max(span[0], _EARLIEST) for span in spans) - ABOUT
    predictions = [file for number in range(named(PREDICTIONS).partitions) for file in lake.listed(PREDICTIONS, number)]
    return [*labels, *(file for file in predictions if (span := lake.span(file)) is not None and span[1] >= oldest)]


def _covered(lake: LakeFiles, covers: Mapping[str, int]) -> list[LakeFile]:
    return [
        file
        for partition in PARTITIONS
        for file in lake.listed(LABELS, partition)
        if not file.present or file.end_offset <= covers.get(place_of(partition), 0)
    ]
