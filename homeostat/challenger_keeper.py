"""One model's challenger from file to file: takes what the lake has new, and keeps all of it before a word is said.

While records are owed to the log, nothing more is taken: what is owed stays bounded, and is written once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

import msgspec

from drift.challenger import Challenger, UnreadableChallenger, decode, encode
from homeostat import challenger_ring, challenger_start
from homeostat.challenger_keys import known_of, remembered
from homeostat.challenger_ring import extended
from homeostat.challenger_rows import Joined, joined
from homeostat.challenger_scoring import scored
from homeostat.challenger_start import Model
from homeostat.challenger_state import ChallengerState, UnusableState, path_of, read_state, write_state
from homeostat.due_files import DueFiles
from homeostat.served_rows import ServedRows
from streams.crash_points import CrashPoints
from streams.events import ChallengerScored
from streams.release import BlobStore
from trainer.adapters.lake_files import LakeFiles
from trainer.adapters.logged_rows import EPOCH

KEEP_EVERY_S: Final = 60.0
"""How often what a model without new rows has passed over is written."""

log = logging.getLogger("homeostat.agents")


class Told(Protocol):
    """What a keeper counts."""

    def challenger_rows(self, model: str, outcome: str, n: int) -> None:
        """scored | undrawn | left_out | unfound | unreadable (of whichever models, in a lake file that cannot be read)."""

    def challenger_began(self, model: str) -> None:
        """It began anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What all keepers share."""

    data: Path
    lake: LakeFiles
    served: ServedRows
    store: BlobStore
    wait_s: float
    """How long a label file waits for predictions."""
    clock: Callable[[], float]
    crash: CrashPoints
    told: Told


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    state: ChallengerState
    challenger: Challenger


class ChallengerKeeper:
    """Called from one thread. After an exception it stands as before."""

    def __init__(self, name: str, bench: Bench) -> None:
        self._name = name
        self._bench = bench
        self._path = path_of(bench.data, name)
        self._standing: _Standing | None = None
        self._owed: tuple[ChallengerScored, ...] = ()
        self._kept_s = bench.clock()
        self._due = DueFiles(name, bench.lake, bench.served, wait_s=bench.wait_s, clock=bench.clock)

    @property
    def owed(self) -> tuple[ChallengerScored, ...]:
        """Records kept that the log is not known to have."""
        return self._owed

    @property
    def taken(self) -> int | None:
        """Label rows taken, all told of; None: some are not."""
        return None if self._standing is None or self._owed else self._standing.state.taken

    def acknowledged(self) -> None:
        """The log has what was owed. After a restart it is told once more: the file is not written again for it."""
        self._owed = ()

    def step(self, model: Model) -> bool:
        """Begin, begin anew or take what is new; True: there may be more at once. Raises OSError, and whatever rows may raise."""
        standing = self._standing or self._opened(model)
        if standing is None:
            return True
        why = challenger_start.reason_to_begin(standing.state, standing.challenger, model, self._bench.lake)
        if why:
            standing = self._anew(model, why, standing.state)
        self._standing = standing
        if self._owed:
            return False
        return self._take(model, standing)

    def begin_past_all(self, model: Model, why: str, *, warm: bool) -> None:
        """Begin anew behind everything that the lake has: what made it fail is passed over."""
        self._standing = self._begun(model, why, challenger_start.present_ends(self._bench.lake), warm=warm)

    def waiting_files(self) -> int:
        """Label files that are not taken yet."""
        return 0 if self._standing is None else self._due.count(self._standing.state.covers)

    def _opened(self, model: Model) -> _Standing | None:
        """Where it stood when this process began, or a beginning; None: what it begins behind is not counted yet."""
        try:
            state = read_state(self._path)
            if state is not None:
                if state.model != self._name:
                    raise UnusableState(f"{self._path} is of model {state.model!r}")
                self._owed, standing = state.unsent, _Standing(state=state, challenger=decode(state.challenger))
                return standing
            why = "it begins: there is no state of it"
        except (UnusableState, UnreadableChallenger) as error:
            why = f"its state cannot be used: {error}"
        if not challenger_start.counted(self._bench.lake):
            return None
        return self._begun(model, why, challenger_start.present_ends(self._bench.lake))

    def _anew(self, model: Model, why: str, before: ChallengerState) -> _Standing:
        ring = before.ring if before.contract == model.contract_digest else challenger_ring.LossRing()
        if fresh_rules := [rule for rule in model.heard.rules if rule.incident not in before.heard.incidents]:
            # Losses on rows that were spoilt, and not known to be.
            since = min(rule.since for rule in fresh_rules)
            ring = challenger_ring.before(ring, (since - EPOCH) // timedelta(microseconds=1))
        if challenger_start.is_of_another_log(before, self._bench.lake):
            self._owed = ()  # told to a log that is gone
            covers = challenger_start.covers_of_new_log(before, self._bench.lake)
            return self._begun(model, why, covers, before=msgspec.structs.replace(before, ring=ring, taken=-1))
        return self._begun(model, why, before.covers, before=msgspec.structs.replace(before, ring=ring))

    def _begun(
        self,
        model: Model,
        why: str,
        covers: Mapping[str, int],
        *,
        warm: bool = True,
        before: ChallengerState | None = None,
    ) -> _Standing:
        """`before`: whose ring, identities and lakes stay; `taken` below 0: it is counted anew."""
        bench = self._bench
        log.info("%s: its challenger begins anew: %s", self._name, why)
        bench.told.challenger_began(self._name)
        begun = (
            challenger_start.begun(model, bench.lake, bench.store, covers)
            if warm
            else challenger_start.Begun(challenger=challenger_start.cold(model), learnt_until=None)
        )
        state = ChallengerState(
            model=self._name,
            contract=model.contract_digest,
            challenger=encode(begun.challenger),
            covers=dict(covers),
            lakes=self._lakes(before),
            heard=model.heard,
            learnt_until=begun.learnt_until,
            taken=before.taken if before and before.taken >= 0 else challenger_start.label_rows(self._name, bench.lake, covers),
            recent=before.recent if before else b"",
            ring=before.ring if before else challenger_ring.LossRing(),
            unsent=self._owed,
            restarted=why,
        )
        self._keep(state)
        return _Standing(state=state, challenger=begun.challenger)

    def _lakes(self, before: ChallengerState | None) -> tuple[str, ...]:
        present = {lake.name for lake in self._bench.lake.set_aside}
        return tuple(sorted(present | set(before.lakes if before else ())))

    def _keep(self, state: ChallengerState) -> None:
        write_state(self._path, state)
        self._kept_s = self._bench.clock()
        self._bench.crash.reached("agents:challenger_kept")

    def _take(self, model: Model, standing: _Standing) -> bool:
        group = self._due.group(standing.state.covers)
        if group.unreadable:
            self._bench.told.challenger_rows(self._name, "unreadable", group.unreadable)
        if not group.files:
            self._pass_over(standing, group.covers)
            return group.more
        taught = known_of(standing.state.recent, [(label.epoch, label.seq) for file in group.files for label in file.labels])
        found = joined(group.files, group.served, model.contract, model.leaving, taught)
        before = standing.challenger
        result = scored(
            before,
            group.files,
            found.rows,
            model=self._name,
            contract=model.contract,
            policy=model.policy,
            restarted=standing.state.restarted,
        )
        challenger, learnt_until, restarted = result.challenger, result.learnt_until, ""
        if challenger.restarts > before.restarts:
            restarted = "its sums had no solution"
            log.warning("%s: its challenger begins anew: %s", self._name, restarted)
            self._bench.told.challenger_began(self._name)
            begun = challenger_start.begun(model, self._bench.lake, self._bench.store, group.covers)
            challenger, learnt_until = begun.challenger, begun.learnt_until
        known = standing.state.learnt_until
        state = msgspec.structs.replace(
            standing.state,
            challenger=encode(challenger),
            covers=group.covers,
            learnt_until=max((at for at in (known, learnt_until) if at is not None), default=None),
            taken=standing.state.taken + sum(len(file.labels) for file in group.files),
            recent=remembered(standing.state.recent, [(row.example.epoch, row.example.seq) for row in found.rows]),
            ring=extended(standing.state.ring, result.losses),
            unsent=result.records,
            restarted=restarted,
        )
        self._keep(state)
        self._standing, self._owed = _Standing(state=state, challenger=challenger), result.records
        self._count(found, result.drawn)
        return True

    def _pass_over(self, standing: _Standing, covers: dict[str, int]) -> None:
        """Files without rows of the model: written now and then only, as whoever starts again passes them over once more."""
        if covers == standing.state.covers:
            return
        state = msgspec.structs.replace(standing.state, covers=covers, unsent=())
        if self._bench.clock() - self._kept_s >= KEEP_EVERY_S:
            self._keep(state)
        self._standing = replace(standing, state=state)

    def _count(self, found: Joined, drawn: int) -> None:
        told, name = self._bench.told, self._name
        told.challenger_rows(name, "scored", drawn)
        told.challenger_rows(name, "undrawn", len(found.rows) - drawn)
        told.challenger_rows(name, "left_out", sum(found.left_out.values()))
        told.challenger_rows(name, "unfound", found.unfound)
        if found.unfound:
            log.warning("%s: %d labels whose predictions are not in the lake are left out", self._name, found.unfound)
