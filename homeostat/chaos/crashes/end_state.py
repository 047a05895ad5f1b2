"""What must hold of a model once all is told and decided: one whole state, the one that the log gives, and nothing twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import msgspec

from homeostat import mirror, replay
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.verdict import require, until
from homeostat.control_fold import PartitionState, fold
from homeostat.serving_client import model_document
from streams.codec import encode_json
from streams.events import (
    ChallengerScored,
    Control,
    Decided,
    DetectorsArmed,
    DriftDetected,
    EvidenceGathered,
    LossesGathered,
    RetrainRequested,
    Route,
    Ticked,
)

_MANY_OR_NONE = (EvidenceGathered, LossesGathered, ChallengerScored, DriftDetected, DetectorsArmed, Ticked)
"""Records that may come to several decisions, or to none; every other comes to an answer."""
_ENDS = ("TrainingEnded", "Recalled", "ChallengerFrozen")


def check(site: Site, model: str, *, served: bool = True) -> None:
    """Raises Unclean. `served`: serving runs, and must say what the log says."""
    view = site.log.whole()
    decisions, routes, control = view.decisions(model), view.routes(model), view.control(model)
    _replay_is_clean(site, model)
    _nothing_is_decided_twice(decisions)
    _everything_is_answered(control, decisions)
    _routes_rise(routes, decisions)
    is_mirrored(site, model)
    if served and routes:
        _is_served(site, model, routes[-1])


def _replay_is_clean(site: Site, model: str) -> None:
    control, decided = site.log.beside(model)
    result = replay.compare(control, decided)
    require(not result.differing, f"replay differs: {result.differing[:3]}")
    require(result.records == len(control), f"replay read {result.records} of {len(control)} records")


def _nothing_is_decided_twice(decisions: Sequence[Decided]) -> None:
    twice = [key for key, n in Counter(decision.id for decision in decisions).items() if n > 1]
    require(not twice, f"decided twice: {twice}")
    for kind in ("TrainingStarted", "TrainingEnded", "Recalled", "ChallengerFrozen", "Promoted", "ShadowStarted", "BakeEnded"):
        runs = Counter(decision.run for decision in decisions if decision.kind == kind)
        require(max(runs.values(), default=0) <= 1, f"more than one {kind} of a run: {runs}")
    ended = Counter(decision.run for decision in decisions if decision.kind in _ENDS)
    require(max(ended.values(), default=0) <= 1, f"a run ended twice: {ended}")


def _everything_is_answered(control: Sequence[Control], decisions: Sequence[Decided]) -> None:
    """Each record that asks for something has an answer, and acted once however often it was written."""
    answers: dict[str, list[Decided]] = {}
    for decision in decisions:
        answers.setdefault(decision.cause, []).append(decision)
    for record in control:
        if isinstance(record, _MANY_OR_NONE):
            continue
        found = answers.get(record.id, [])
        require(bool(found), f"{type(record).__name__} {record.id} was never answered")
        places = {decision.offset for decision in found if decision.kind != "Refused"}
        require(len(places) <= 1, f"{type(record).__name__} {record.id} acted more than once: {found}")
        if isinstance(record, RetrainRequested):
            terminal = [one.kind for one in found if one.kind in ("TrainingStarted", "TrainingRefused", "ApprovalWanted")]
            require(len(terminal) == 1, f"the request {record.id} came to {terminal}")


def _routes_rise(routes: Sequence[Route], decisions: Sequence[Decided]) -> None:
    for before, after in pairwise(routes):
        rises = (before.incarnation, before.generation, before.revision) < (after.incarnation, after.generation, after.revision)
        require(rises, f"route {after.generation}.{after.revision} comes behind {before.generation}.{before.revision}")
        same = (before.champion, before.candidate, before.step) == (after.champion, after.candidate, after.step)
        require(same or after.generation > before.generation, f"roles changed within generation {after.generation}")
    made_by = {decision.id for decision in decisions}
    released = {decision.release for decision in decisions} | {decision.champion for decision in decisions}
    for route in routes:
        require(route.decision in made_by, f"route {route.generation} stands in the log without its decision {route.decision}")
        require(route.champion in released, f"route {route.generation} serves {route.champion}, which was never decided")


def is_mirrored(site: Site, model: str) -> None:
    """The mirror has every decision, and the state that the log folds to. Raises Unclean."""
    decisions = site.log.whole().decisions(model)
    state = PartitionState()
    for message in site.log.beside(model)[0]:
        state, _ = fold(state, message)
    wanted = msgspec.msgpack.encode(state.models[model])

    def behind() -> str:
        kept = mirror.newest_in(mirror.folder_of(site.settings.mirror, model))
        missing = {decision.id for decision in decisions} - {one.id for one in mirror.decisions(site.settings, model)}
        if missing:
            return f"the mirror misses the decisions {sorted(missing)}"
        return "" if kept is not None and kept.state == wanted else f"the mirror's state is not the log's: {kept}"

    until(lambda: not behind(), behind)


def _is_served(site: Site, model: str, route: Route) -> None:
    """Over HTTP, serving says what the newest route says."""
    wanted = (route.generation, route.revision, route.champion, route.candidate, route.step, route.control)

    def shown() -> tuple[object, ...] | None:
        document = model_document(site.settings, model) or {}
        names = ("generation", "revision", "champion", "candidate", "step", "control")
        return tuple(document.get(name) for name in names)

    until(lambda: shown() == wanted, lambda: f"serving says {shown()}, the log {wanted}")


def same_bytes(records: Sequence[Control]) -> bool:
    """Whether all are one and the same record."""
    return len({encode_json(record) for record in records}) <= 1
