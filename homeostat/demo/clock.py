"""Retraining by the clock, row by row: what the report draws beside what was served."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homeostat.electricity import Columns
from homeostat.offline import LABEL_DELAY_ROWS, WINDOW_ROWS, fit


def clock_hits(columns: Columns, trainings: int) -> NDArray[np.float64]:
    """Per streamed row 1 where a model retrained at even intervals is right; the same rule as `offline.accuracy_clock`."""
    first, total = columns.first_rows, len(columns)
    moments = [first + (total - first) * k // (trainings + 1) for k in range(1, trainings + 1)]
    wrong = np.zeros(total - first, dtype=np.bool_)
    model, since = fit(columns, 0, first), first
    for moment in [*moments, total]:
        wrong[since - first : moment - first] = model.wrong[since:moment]
        if moment < total:
            known = moment - LABEL_DELAY_ROWS
            model = fit(columns, max(known - WINDOW_ROWS, 0), known)
        since = moment
    return 1.0 - wrong.astype(np.float64)
