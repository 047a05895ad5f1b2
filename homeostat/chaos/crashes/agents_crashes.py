"""The agents killed behind a signal that they wrote, behind a snapshot, and around what a challenger kept and told."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Final

from homeostat.challenger_state import ChallengerState, path_of, read_state
from homeostat.chaos.crashes.end_state import check, same_bytes
from homeostat.chaos.crashes.monitor_crashes import SOURCES, counted
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.traffic import Traffic
from homeostat.chaos.crashes.undisturbed import signals
from homeostat.chaos.crashes.verdict import require, until
from streams.codec import encode_json
from streams.events import (
    ChallengerScored,
    Control,
    DetectorsArmed,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    QualityIncident,
)

ROLE: Final = "agents"
ROWS: Final = 40
"""Some periods."""
_OF_CHALLENGERS: Final = ("agents:challenger_kept", "agents:challenger_written")
_SIGNALS: Final = (LossesGathered, EvidenceGathered, DriftDetected, DetectorsArmed, QualityIncident)
UNMEASURED: Final = 2
"""Newest periods that may wait for a lake file that is still open."""


def crash(site: Site, point: str) -> None:
    """Some periods of rows; die; start again: what is told is what agents tell that never died, and acts once. Raises Unclean."""
    trainee = site.trainee()
    site.running("monitor")
    life = site.start(ROLE, dies_at=point)
    site.ready(ROLE)
    trainee.send(ROWS)
    if point in _OF_CHALLENGERS:
        # What the lake holds when a challenger begins is learnt from, and not scored.
        begun = path_of(site.settings.root, trainee.model)
        until(lambda: life.ended or begun.exists(), lambda: f"a challenger begins: {begun}")
        trainee.send(ROWS)
    life.killed_there()
    site.start(ROLE)
    trainee.send(ROWS)
    model, wanted = trainee.model, dict.fromkeys(SOURCES, trainee.sent)
    until(lambda: counted(site, model) == wanted, lambda: f"windows count {wanted}; they count {counted(site, model)}")
    expected = signals(site, model)
    require(any(b"LossesGathered" in value for value in expected.values()), "the rows close no period: nothing was tried")
    until(
        lambda: told(site, model).keys() >= expected.keys(),
        lambda: f"signals are missing: {[expected[key] for key in expected.keys() - told(site, model).keys()]}",
    )
    differing = [key for key, value in told(site, model).items() if value != expected.get(key)]
    require(not differing, f"signals that undisturbed agents do not tell so: {differing}")
    _acted_once(site, model)
    rows = _challenger_is_whole(site, trainee)
    require(rows > 0 or point not in _OF_CHALLENGERS, f"{point}: the challenger told of no row: nothing was tried")
    check(site, model)


def told(site: Site, model: str) -> dict[str, bytes]:
    """The agents' signals by id. Raises Unclean where one id stands for two different records."""
    return {key: encode_json(record) for key, record in _by_id(site, model, _SIGNALS).items()}


def _acted_once(site: Site, model: str) -> None:
    """Every period that was told was measured once (the registration's is passed over), but for the newest, which may wait."""
    told_of = {record.period for record in site.log.whole().control(model) if isinstance(record, LossesGathered)}
    measured: Counter[int] = Counter()

    def waiting() -> set[int]:
        for decision in site.log.look().decisions(model):
            if decision.id not in seen and decision.kind == "StalenessMeasured":
                measured[int(decision.numbers["period"])] += 1
            seen.add(decision.id)
        newest = sorted(told_of)[-UNMEASURED:]
        return told_of - measured.keys() - {min(told_of), *newest}

    seen: set[str] = set()
    until(lambda: not waiting(), lambda: f"periods are measured; {sorted(waiting())} of {sorted(told_of)} are not")
    twice = {period: times for period, times in measured.items() if times != 1}
    require(not twice, f"periods were measured more than once: {twice}")


def _challenger_is_whole(site: Site, trainee: Traffic) -> int:
    """It has taken every label row, what it kept is in the log, and each stretch of labels was scored once; rows scored.

    Those that were in the lake when it began were learnt from, and not scored.
    """
    path, model = path_of(site.settings.root, trainee.model), trainee.model

    def kept() -> ChallengerState | None:
        return read_state(path)

    def owed() -> set[str]:
        state = kept()
        return {record.id for record in (state.unsent if state is not None else ())} - _scored(site, model).keys()

    def taken() -> int:
        state = kept()
        return -1 if state is None else state.taken

    until(lambda: taken() == trainee.sent, lambda: f"the challenger takes {trainee.sent} labels; it took {taken()}")
    until(lambda: not owed(), lambda: f"the log has what the challenger kept; it misses {sorted(owed())}")
    stretches = sorted((one.partition, one.first_offset, one.end_offset) for one in _scored(site, model).values())
    for before, after in pairwise(stretches):
        require(before[0] != after[0] or before[2] <= after[1], f"labels were scored twice: {before} and {after}")
    rows = sum(score.labelled for one in _scored(site, model).values() for score in one.scores)
    require(rows <= trainee.sent, f"{rows} labels were scored, of {trainee.sent}")
    return rows


def _scored(site: Site, model: str) -> dict[str, ChallengerScored]:
    """What the challenger told, by id. Raises Unclean where one id stands for two different records."""
    told_of = _by_id(site, model, (ChallengerScored,))
    return {key: record for key, record in told_of.items() if isinstance(record, ChallengerScored)}


def _by_id(site: Site, model: str, kinds: tuple[type[Control], ...]) -> dict[str, Control]:
    """The records of these kinds by id. Raises Unclean where one id stands for two different records."""
    records: dict[str, list[Control]] = defaultdict(list)
    for record in site.log.look().control(model):
        if isinstance(record, kinds):
            records[record.id].append(record)
    for key, repeats in records.items():
        require(same_bytes(repeats), f"{key} was told twice, and differs: {repeats}")
    return {key: repeats[0] for key, repeats in records.items()}
