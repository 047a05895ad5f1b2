"""Trainings against accuracy, over a wide range of prices in errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from benchmarks.healing.replay import RetrainingPolicy, replay
from benchmarks.healing.tables import Table

PRICES: Final = (320.0, 160.0, 80.0, 40.0, 20.0, 10.0, 5.0, 3.0, 1.0)


def curve(table: Table, policy: Callable[[float], RetrainingPolicy]) -> list[dict[str, float]]:
    """What the policy buys at each price, and the accuracy (1 minus the mean loss) of what it then serves."""
    points = []
    for price in PRICES:
        outcome = replay(table, policy(price))
        points.append(
            {
                "price": price,
                "trainings": len(outcome.trainings),
                "swaps": len(outcome.swaps),
                "accuracy": round(outcome.accuracy, 4),
            }
        )
    return points
