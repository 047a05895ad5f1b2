"""One recall order: the champion beside archived releases and the frozen challenger on the newest labelled rows, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec

from streams.events import RecallFinished, TrainingOrder, derived_id
from streams.release import BlobCorrupt, BlobMissing
from trainer.candidate import NotTrainable
from trainer.dataset import assemble, sought_rows
from trainer.frozen_run import Frost, freeze, offered
from trainer.left_out import LeavingOut
from trainer.recall import RecallVerdict, Tried, judge
from trainer.scored import ScoredRows
from trainer.stored_release import StoredRelease, load_stored
from trainer.table import Table
from trainer.workshop import ACTOR, Workshop

_UNFIT = (BlobMissing, BlobCorrupt, NotTrainable, ValueError, msgspec.DecodeError)
"""What an archived release, or the challenger, may have wrong with it: it is passed over. (A store that cannot be read is another thing.)"""


def recall_order(order: TrainingOrder, model: str, shop: Workshop) -> RecallFinished:
    """Try the releases that the order names. Raises what reading the log and the champion raises."""
    known = shop.results.find(order.run, RecallFinished)
    if known is None:
        known = shop.results.keep(_tried(order, model, shop))
        shop.crash.reached("trainer:recall_kept")
    # The job counts answers by attempt, and an id is counted once.
    return msgspec.structs.replace(known, attempt=order.attempt, id=_id(order))


def nothing_recalled(order: TrainingOrder, model: str, shop: Workshop, why: str) -> RecallFinished:
    """The answer when the recall itself is at fault: none, so that the training starts."""
    return _answer(order, model, shop, release="", why=f"no release could be tried: {why}", numbers={})


def _tried(order: TrainingOrder, model: str, shop: Workshop) -> RecallFinished:
    """What served before has to be proved better. The challenger was measured already: it has to pass the gate, as a training does."""
    champion = load_stored(shop.store, order.champion, model)
    table = _newest(order, champion, model, shop)
    tried, passed_over = _archived(order, champion, table, model, shop)
    verdict = _judged(order, tried, passed_over)
    if order.challenger:
        newest = table.at[-1] if table.rows else None
        try:
            frozen, beside = offered(model, order, champion, newest, shop)
            if not verdict.release or _gain(beside, order) > _gain(_named(tried, verdict.release), order):
                made = freeze(frozen, beside, verdict.numbers, order, champion, shop)
                return _answer_frozen(order, model, shop, verdict, made)
        except _UNFIT as error:
            verdict = _judged(order, tried, [*passed_over, f"the challenger is passed over: {error}"])
    return _answer(order, model, shop, release=verdict.release, why=verdict.why, numbers=verdict.numbers)


def _named(tried: list[Tried], release: str) -> Tried:
    return next(one for one in tried if one.release == release)


def _gain(tried: Tried, order: TrainingOrder) -> float:
    """On as many of its newest rows as a recall looks at."""
    gains = (tried.champion - tried.losses)[-order.policy.recall.rows :]
    return float(gains.mean()) if len(gains) else 0.0


def _archived(
    order: TrainingOrder, champion: StoredRelease, table: Table, model: str, shop: Workshop
) -> tuple[list[Tried], list[str]]:
    """The archived releases on the table's rows, and why some are passed over."""
    tried: list[Tried] = []
    passed_over: list[str] = []
    if not order.recall:
        return tried, passed_over
    scored = ScoredRows(champion.contract, table, shop)
    theirs = scored.losses_of(champion)
    fresh = champion.unseen(table.at)
    for digest in order.recall:
        try:
            release = load_stored(shop.store, digest, model)
            ours = scored.losses_of(release)
        except _UNFIT as error:
            passed_over.append(f"{digest[:12]} is passed over: {error}")
            continue
        fair = fresh & release.unseen(table.at)
        tried.append(Tried(release=digest, losses=ours[fair], champion=theirs[fair]))
    return tried, passed_over


def _judged(order: TrainingOrder, tried: list[Tried], passed_over: list[str]) -> RecallVerdict:
    policy = order.policy.recall
    return judge(
        tried,
        rows=policy.rows,
        alpha=policy.alpha,
        least_gain=order.policy.training.gate_margin,
        passed_over=passed_over,
    )


def _newest(order: TrainingOrder, champion: StoredRelease, model: str, shop: Workshop) -> Table:
    """The newest rows that a training could learn from; none of the registration's, which every release was trained on."""
    window = msgspec.structs.replace(order.policy.training, window_rows=order.policy.recall.rows, holdout_rows=0)
    dataset = assemble(
        contract=champion.contract,
        rows=shop.source.newest(model, order.as_of, sought_rows(window)),
        registration=None,
        policy=window,
        as_of=order.as_of,
        leaving=LeavingOut.of(order),
    )
    return dataset.table


def _answer(
    order: TrainingOrder,
    model: str,
    shop: Workshop,
    *,
    release: str,
    why: str,
    numbers: Mapping[str, float],
    challenger: bool = False,
    learnt_until: datetime | None = None,
) -> RecallFinished:
    return RecallFinished(
        id=_id(order),
        at=shop.wall_clock(),
        model=model,
        actor=ACTOR,
        reason=why[:2_000],
        run=order.run,
        attempt=order.attempt,
        release=release,
        numbers=dict(numbers),
        challenger=challenger,
        learnt_until=learnt_until,
    )


def _answer_frozen(order: TrainingOrder, model: str, shop: Workshop, verdict: RecallVerdict, made: Frost) -> RecallFinished:
    why = f"the challenger is let through: {made.why}; frozen as release {made.release[:12]}"
    return _answer(
        order,
        model,
        shop,
        release=made.release,
        why=why,
        numbers={**verdict.numbers, **made.numbers},
        challenger=True,
        learnt_until=made.learnt_until,
    )


def _id(order: TrainingOrder) -> str:
    return derived_id(order.run, order.attempt, "recalled")
