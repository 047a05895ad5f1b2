"""The trainer killed between any two things that a run leaves behind."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from homeostat.chaos.crashes.end_state import check, same_bytes
from homeostat.chaos.crashes.rehearsal import ACTOR
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.stories import story_of
from homeostat.chaos.crashes.verdict import require, until
from streams.adapters.predictors import load_served
from streams.events import Decided, RecallFinished, RetrainRequested, RollBack, TrainingFailed, TrainingFinished

ROLE: Final = "trainer"
ROWS: Final = 200
_OF_A_RECALL: Final = "trainer:recall_kept"


def crash(site: Site, point: str) -> None:
    """Have a run started, die in it, start again: each of its stages has one result, and it ends once. Raises Unclean."""
    if point == _OF_A_RECALL:
        _crash_in_recall(site, point)
    else:
        _crash_in_training(site, point)


def _crash_in_training(site: Site, point: str) -> None:
    trainee = site.trainee()
    if not trainee.sent:
        trainee.send(ROWS)
    model = trainee.model
    life = site.start(ROLE, dies_at=point)
    said = {"at": datetime.now(UTC), "model": model, "actor": ACTOR, "reason": point}
    request = RetrainRequested(id=f"{point}-{model}", **said)  # type: ignore[arg-type]  # what all records have
    site.tell([request])
    life.killed_there()
    site.start(ROLE)
    started = _decision(site, model, "TrainingStarted", cause=request.id)
    ended = _decision(site, model, "TrainingEnded", run=started.run)
    _one_result(site, model, ended.run)
    require(bool(ended.release), f"run {ended.run} gave no candidate: {ended.why}")
    release, _, _ = load_served(site.store, ended.release)
    require(release.run == ended.run, f"candidate {ended.release} is of run {release.run}, not of {ended.run}")
    # Out again, so that the next run finds nothing that is tried.
    site.tell([RollBack(id=f"{point}-{model}-out", **said)])  # type: ignore[arg-type]  # as above
    _decision(site, model, "CandidateRejected", run=ended.run)
    check(site, model)


def _crash_in_recall(site: Site, point: str) -> None:
    """Releases that served before are tried, on no rows here: the training starts, and fails on the same rows."""
    cast = site.new_cast(point)
    told, place = story_of("RecallStarted", cast)
    site.running("control")
    site.running("serve")
    site.tell(told.records[:place])
    for kind in ("BakeEnded", "StalenessMeasured"):
        _decision(site, cast.model, kind)
    life = site.start(ROLE, dies_at=point)
    site.tell([told.records[place]])
    life.killed_there()
    site.start(ROLE)
    run = _decision(site, cast.model, "RecallStarted").run
    for kind in ("TrainingStarted", "TrainingEnded"):
        _decision(site, cast.model, kind, run=run)
    _one_result(site, cast.model, run)
    check(site, cast.model)


def _one_result(site: Site, model: str, run: str) -> None:
    """However often a stage was answered, it was the same answer."""
    for stage in (RecallFinished, TrainingFinished, TrainingFailed):
        results = [record for record in site.log.whole().control(model) if isinstance(record, stage) and record.run == run]
        require(same_bytes(results), f"run {run} has results that differ: {results}")


def _decision(site: Site, model: str, kind: str, *, run: str = "", cause: str = "") -> Decided:
    """Wait for the decision."""

    def found() -> list[Decided]:
        return [
            decision
            for decision in site.log.look().decisions(model)
            if decision.kind == kind and run in ("", decision.run) and cause in ("", decision.cause)
        ]

    until(lambda: bool(found()), lambda: f"{kind} of run {run!r}; there is {site.log.kinds(model)}")
    return found()[0]
