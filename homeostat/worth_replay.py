"""What noise would buy of a model, and how long a change would wait: the staleness rule, replayed on the model's own rows.

Pure. Where the challenger scores a share of the labelled rows, the rows are a sample, and so is the price: the rule weighs a row's
loss against the price a row, so that a tenth of the rows at a tenth of the price weigh what all of them do. What was borne is
told of all rows.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

import msgspec

from drift.noise_replay import LADDER, NoiseReplay, TooFewRows, Traded, trade
from homeostat.challenger_ring import RING_ROWS
from homeostat.timed_losses import NoRows, TimedLosses
from homeostat.worth_numbers import span
from streams.policy import StalenessPolicy

SEED: Final = 0
"""Of the shuffles: the same rows say the same."""
SHUFFLES: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """Both sides of the guard on a model's rows. `source`: which rows they are."""

    source: str
    noise: NoiseReplay
    """Under the setting in force."""
    trade: tuple[Traded, ...]
    filled_ratio: float
    """Of the periods from first to last, those with rows: the others are none to the rule, but time goes by in them."""


def replayed(rows: TimedLosses, policy: StalenessPolicy) -> Replayed:
    """Both sides. Raises NoRows where they are too few, with the reason."""
    usual = rows.usual_period(policy.period)
    # The newest are kept: that there are no more of them is no matter of waiting.
    kept = "; no more are kept" if len(rows.releases) >= RING_ROWS else ""
    if usual is None:
        apart = span(float(rows.at_us[-1] - rows.at_us[0]) / 1e6)
        raise NoRows(
            f"no whole period of {span(policy.period.total_seconds())} with labelled rows lies between the first and the last of its "
            f"newest {len(rows.releases):,} ({apart} apart{kept})"
        )
    asked = at_share(policy, rows.share)
    ladder = sorted({*LADDER, policy.noise_trainings})
    measured, a_period = (rows.champion, rows.challenger), usual.rows
    try:
        both = trade(*measured, rows.releases, rows_a_period=a_period, policy=asked, ladder=ladder, shuffles=SHUFFLES, seed=SEED)
    except TooFewRows as few:
        raise NoRows(f"{str(few).rstrip('.')}{kept}") from few
    return Replayed(
        source=rows.source,
        noise=next(one.noise for one in both if one.noise_trainings == policy.noise_trainings),
        trade=tuple(_of_all(one, rows.share) for one in both),
        filled_ratio=usual.filled_ratio,
    )


def at_share(policy: StalenessPolicy, share: float) -> StalenessPolicy:
    """The policy whose price, on such a share of the rows, is what it is on all of them.

    >>> at_share(StalenessPolicy(retrain_cost="3.50 EUR", error_value=0.05), 0.1).price_errors
    7.0
    """
    price = policy.price_errors
    if share == 1.0 or not math.isfinite(price):
        return policy
    return msgspec.structs.replace(policy, retrain_cost=f"{price * share:.9f} errors")


def _of_all(one: Traded, share: float) -> Traded:
    seen = one.in_order
    return dataclasses.replace(one, in_order=dataclasses.replace(seen, borne_errors=seen.borne_errors / share))
