"""When the demo's rows are, and where the sender stops to let the loop catch up. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import numpy as np

from homeostat.demo_policy import IDLE_SYNC_ROWS, LABEL_DELAY_ROWS, ROLLOUT_SYNC_ROWS
from homeostat.electricity import BEGIN, STEP

LABEL_LAG: Final = (LABEL_DELAY_ROWS + 1) * STEP
"""From a row's time to when its outcome is known."""
REQUEST_ROWS: Final = 48
"""Most rows in one request."""


def row_at(row: int) -> datetime:
    """Event time of a row."""
    return BEGIN + row * STEP


def _first_stop() -> int:
    """The first row by which all labels of a period are in: periods are cut where the epoch says, not where the data begins."""
    period = IDLE_SYNC_ROWS * STEP
    into = timedelta(seconds=BEGIN.timestamp()) % period
    return (-into % period) // STEP + LABEL_DELAY_ROWS


FIRST_STOP: Final = _first_stop()


def next_stop(row: int, tried_since: int | None) -> int:
    """The row before which the sender stops next, after `row` rows of the stream.

    `tried_since`: since which row the route that tries a candidate serves, or None. Counted from there, so that a step's
    minimum exposure is met at a stop and not between two.

    >>> next_stop(4531, None), next_stop(4608, None), next_stop(4608, tried_since=4608), next_stop(4658, tried_since=4608)
    (4608, 4704, 4658, 4704)
    """
    wide = row + IDLE_SYNC_ROWS - (row - FIRST_STOP) % IDLE_SYNC_ROWS
    if tried_since is None:
        return wide
    return min(wide, row + ROLLOUT_SYNC_ROWS - (row - tried_since) % ROLLOUT_SYNC_ROWS)


def requests(start: int, stop: int, generator: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Cut rows [start, stop) into requests of 1 to REQUEST_ROWS rows."""
    while start < stop:
        end = min(stop, start + int(generator.integers(1, REQUEST_ROWS, endpoint=True)))
        yield start, end
        start = end
