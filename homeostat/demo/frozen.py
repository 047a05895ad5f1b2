"""What the first release would have answered, had nothing ever been retrained."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from config.settings import Settings
from homeostat.electricity import FEATURES, Columns
from streams.adapters.predictors import load_served
from streams.adapters.store import DirectoryStore

BATCH_ROWS = 5_000


def frozen_values(settings: Settings, release: str, columns: Columns, start: int) -> NDArray[np.int8]:
    """Class index that this release gives to every row from `start` on, computed here from its file in the store."""
    _release, _contract, predictor = load_served(DirectoryStore(settings.store), release)
    values: list[int] = []
    for first in range(start, len(columns), BATCH_ROWS):
        rows = [dict(zip(FEATURES, row, strict=True)) for row in columns.features[first : first + BATCH_ROWS].tolist()]
        values.extend(int(value) for value, _confidence in predictor.predict(rows))
    return np.array(values, dtype=np.int8)
