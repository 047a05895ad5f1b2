"""The agents killed behind a signal that they wrote, and behind a snapshot."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from homeostat.chaos.crashes.end_state import check, same_bytes
from homeostat.chaos.crashes.monitor_crashes import SOURCES, counted
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.undisturbed import signals
from homeostat.chaos.crashes.verdict import require, until
from streams.codec import encode_json
from streams.events import Control, DetectorsArmed, DriftDetected, EvidenceGathered, LossesGathered, QualityIncident

ROLE: Final = "agents"
ROWS: Final = 40
"""Some periods."""
_SIGNALS: Final = (LossesGathered, EvidenceGathered, DriftDetected, DetectorsArmed, QualityIncident)


def crash(site: Site, point: str) -> None:
    """Some periods of rows; die; start again: what is told is what agents tell that never died, and acts once. Raises Unclean."""
    trainee = site.trainee()
    site.running("monitor")
    life = site.start(ROLE, dies_at=point)
    site.ready(ROLE)
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
    check(site, model)


def told(site: Site, model: str) -> dict[str, bytes]:
    """The agents' signals by id. Raises Unclean where one id stands for two different records."""
    records: dict[str, list[Control]] = defaultdict(list)
    for record in site.log.look().control(model):
        if isinstance(record, _SIGNALS):
            records[record.id].append(record)
    for key, repeats in records.items():
        require(same_bytes(repeats), f"signal {key} was told twice, and differs: {repeats}")
    return {key: encode_json(repeats[0]) for key, repeats in records.items()}


def _acted_once(site: Site, model: str) -> None:
    """Of all records with the losses of one period, one was measured (or passed over, as the registration's period is)."""
    measured: dict[str, set[int]] = defaultdict(set)
    causes = {record.id for record in site.log.whole().control(model) if isinstance(record, LossesGathered)}

    def all_decided() -> bool:
        for decision in site.log.look().decisions(model):
            if decision.cause in causes and decision.kind in ("StalenessMeasured", "PeriodSkipped"):
                measured[decision.cause].add(decision.offset)
        return measured.keys() == causes

    until(all_decided, lambda: f"losses are decided on; they are of {len(measured)} of {len(causes)} periods")
    twice = {cause: offsets for cause, offsets in measured.items() if len(offsets) != 1}
    require(not twice, f"losses were measured twice: {twice}")
