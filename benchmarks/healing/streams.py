"""The streams of the comparison, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from benchmarks.healing.flights import flights, weather
from benchmarks.healing.generated import GENERATED
from benchmarks.healing.stream import NUMBER, Stream
from homeostat.demo.stream import DATA
from homeostat.electricity import FEATURES, load

ELECTRICITY_WINDOW: Final = 2_265
ELECTRICITY_PERIOD: Final = 96
ELECTRICITY_DELAY: Final = 48


def electricity() -> Stream:
    """The demo's half-hours of electricity prices, decided upon every two days."""
    columns = load(DATA)
    return Stream(
        name="electricity",
        features=columns.features.astype(np.float32),
        target=columns.labels.astype(np.float64),
        kinds=(NUMBER,) * len(FEATURES),
        classes=2,
        period_rows=ELECTRICITY_PERIOD,
        label_delay_rows=ELECTRICITY_DELAY,
        window_rows=ELECTRICITY_WINDOW,
        first_rows=columns.first_rows,
    )


def electricity_long() -> Stream:
    """The same with daily decisions and twice the window; beside the mean, not in it."""
    return replace(electricity(), name="electricity_long", period_rows=48, window_rows=2 * ELECTRICITY_WINDOW + 1)


REAL: Final[Mapping[str, Callable[[], Stream]]] = {"electricity": electricity, "flights": flights, "weather": weather}
NAMES: Final = (*REAL, *GENERATED)
"""Those whose mean is taken."""


def stream(name: str, seed: int = 0) -> Stream:
    """A stream by its name; the seed matters to generated ones. Raises ValueError."""
    if name in REAL:
        return REAL[name]()
    if name in GENERATED:
        return GENERATED[name](seed)
    if name == "electricity_long":
        return electricity_long()
    raise ValueError(f"no stream {name!r}; there are {', '.join(NAMES)}, electricity_long.")
