"""How many trainings noise alone buys, by guard and price: the table in `drift/noise_guard.py`, simulated, and what is declared against it.

Periods in which the measured difference is a constant and independent noise; each training brings a champion as good as the last.
`make bench NAME=noise_guard` (`QUICK=1`: fewer periods). The last line is one JSON object.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Final

import numpy as np

from drift import staleness
from drift.noise_guard import GUARDS, RATES
from drift.staleness import ChampionReplaced, PeriodMeasured, Staleness
from streams.policy import StalenessPolicy

ROWS: Final = 100
ROW_SD: Final = 0.45
LEVEL: Final = 0.05
RUN_PERIODS: Final = 500
DECLARED: Final = (1.0, 3.0, 10.0, 30.0)


def bought(*, price_sd: float, guard: float | None, noise_trainings: float, seed: int) -> int:
    """Trainings in one run. `guard`: so many standard deviations; None: as the rule sets it from `noise_trainings`."""
    rng = np.random.default_rng(seed)
    sd = ROW_SD / float(np.sqrt(ROWS))
    policy = StalenessPolicy(
        period=timedelta(hours=1),
        retrain_cost=f"{price_sd * sd * ROWS:.9f} errors",
        noise_trainings=1e9 if guard is not None else noise_trainings,
    )
    account, trainings = Staleness(), 0
    for noise in rng.normal(0.0, sd, RUN_PERIODS).tolist():
        period = PeriodMeasured(rows=ROWS, difference=LEVEL + noise, row_variance=ROW_SD**2)
        account, (assessment,) = staleness.advance(account, period, policy)
        if assessment.buy and (guard is None or account.last >= guard * account.last_sd):
            trainings += 1
            account, _ = staleness.advance(account, ChampionReplaced(), policy)
    return trainings


def rate(runs: int, seed: int, *, price_sd: float, guard: float | None = None, noise_trainings: float = 1.0) -> float:
    """Per 1,000 periods."""
    total = sum(bought(price_sd=price_sd, guard=guard, noise_trainings=noise_trainings, seed=seed + run) for run in range(runs))
    return round(1_000 * total / (runs * RUN_PERIODS), 2)


def main() -> None:
    """Simulate, and print the figures."""
    seed, quick = int(os.environ.get("SEED", "0")), os.environ.get("QUICK", "") == "1"
    runs = 4 if quick else 24
    table, declared = {}, {}
    for price, known in RATES:
        table[f"{price:g}"] = [rate(runs, seed, price_sd=price, guard=guard) for guard in GUARDS]
        print(f"price {price:g} sd: simulated {table[f'{price:g}']}, in the table {list(known)}", flush=True)
    for wanted in DECLARED:
        declared[f"{wanted:g}"] = {
            f"{price:g}": rate(runs, seed + 10_000, price_sd=price, noise_trainings=wanted) for price, _ in RATES
        }
        print(f"declared {wanted:g}: realised by price {declared[f'{wanted:g}']}", flush=True)
    figures = {
        "guards_sd": list(GUARDS),
        "trainings_per_1000_periods_by_price_sd": table,
        "realised_by_declared_and_price_sd": declared,
        "periods": runs * RUN_PERIODS,
        "seed": seed,
        "quick": quick,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
