"""A challenger tested on joined rows, and only then taught by them: sums by release and period for the log, losses by row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from drift.challenger import Challenger, predicted_then_learnt
from drift.staleness import period_of
from homeostat.challenger_ring import RowLosses
from homeostat.challenger_rows import JoinedRow, LabelRows, is_drawn
from streams.contract import Contract
from streams.encoding import encode_rows
from streams.events import UNIT, ChallengerScore, ChallengerScored, derived_id
from streams.policy import Policy
from trainer.table import encode_target, losses

ACTOR: Final = "agents"
MOST_SCORES: Final = 500
"""Sums by release and period in one record, which stays under 128 KiB; those of the oldest periods are left off beyond it."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Units: TypeAlias = NDArray[np.int64]
_Cell: TypeAlias = tuple[int, str, int]
"""Place of the file, release, period."""


@dataclass(slots=True)
class _Sums:
    labelled: int = 0
    n: int = 0
    champion: int = 0
    challenger: int = 0
    difference_squared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The challenger after the rows; a record for each file; the losses of the rows that were scored, oldest first."""

    challenger: Challenger
    records: tuple[ChallengerScored, ...]
    losses: RowLosses
    drawn: int
    learnt_until: datetime | None


def scored(
    challenger: Challenger,
    files: Sequence[LabelRows],
    rows: Sequence[JoinedRow],
    *,
    model: str,
    contract: Contract,
    policy: Policy,
    restarted: str = "",
) -> Scored:
    """Test and learn. A row that the champion did not answer is learnt from, and enters no sum."""
    drawn = [row for row in rows if is_drawn((row.example.epoch, row.example.seq), policy.challenger.share)]
    target = encode_target(contract.target, [row.example.label for row in drawn])
    matrix = encode_rows(contract, [row.example.features for row in drawn])
    challenger, lost = predicted_then_learnt(challenger, matrix, target)
    values = np.array([np.nan if row.value is None else row.value for row in drawn], dtype=np.float64)
    theirs, ours = _units(losses(contract.target, values, target)), _units(lost)
    counted = [place for place, row in enumerate(drawn) if row.value is not None]
    cells: defaultdict[_Cell, _Sums] = defaultdict(_Sums)
    for row in rows:
        if row.value is not None:
            cells[_cell(row, policy)].labelled += 1
    for place in counted:
        sums = cells[_cell(drawn[place], policy)]
        champion, own = int(theirs[place]), int(ours[place])
        sums.n += 1
        sums.champion += champion
        sums.challenger += own
        sums.difference_squared += round((champion - own) ** 2 / UNIT)
    return Scored(
        challenger=challenger,
        records=tuple(
            _record(
                file,
                _scores(place, cells),
                model=model,
                at=max((row.example.at for row in rows if row.file == place), default=file.at),
                policy=policy,
                restarted=restarted if place == 0 else "",
            )
            for place, file in enumerate(files)
        ),
        losses=RowLosses(
            at_us=np.array([(drawn[place].example.at - _EPOCH) // _MICROSECOND for place in counted], dtype=np.int64),
            release=tuple(drawn[place].champion for place in counted),
            champion=theirs[counted] / UNIT,
            challenger=ours[counted] / UNIT,
        ),
        drawn=len(drawn),
        learnt_until=max((row.example.at for row in drawn), default=None),
    )


def _units(lost: NDArray[np.float64]) -> Units:
    # What is no number has lost everything: no sum in the log may be impossible.
    return np.rint(np.clip(np.nan_to_num(lost, nan=1.0), 0.0, 1.0) * UNIT).astype(np.int64)


def _cell(row: JoinedRow, policy: Policy) -> _Cell:
    return row.file, row.champion, period_of(row.example.at, policy.staleness)


def _scores(file: int, cells: Mapping[_Cell, _Sums]) -> tuple[ChallengerScore, ...]:
    mine = sorted((period, release) for place, release, period in cells if place == file)[-MOST_SCORES:]
    found = ((release, period, cells[file, release, period]) for period, release in mine)
    return tuple(
        ChallengerScore(
            release=release,
            period=period,
            labelled=sums.labelled,
            n=sums.n,
            champion=sums.champion,
            challenger=sums.challenger,
            difference_squared=sums.difference_squared,
        )
        for release, period, sums in found
    )


def _record(
    file: LabelRows, scores: tuple[ChallengerScore, ...], *, model: str, at: datetime, policy: Policy, restarted: str
) -> ChallengerScored:
    """`at`: the newest prediction of its rows, which a wrong clock may put behind all labels."""
    n = sum(score.n for score in scores)
    return ChallengerScored(
        id=derived_id(model, "challenger", file.partition, file.first_offset, file.end_offset),
        at=max(at, file.at),
        model=model,
        actor=ACTOR,
        reason=f"{n} of {len(file.labels)} labels scored",
        partition=file.partition,
        first_offset=file.first_offset,
        end_offset=file.end_offset,
        scores=scores,
        period_seconds=int(policy.staleness.period.total_seconds()),
        restarted=restarted,
    )
