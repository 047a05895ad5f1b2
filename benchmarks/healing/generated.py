"""Generated streams, each with one way of changing: nothing, difficulty, a season, slowly, at once, to and fro.

Ten features, four of them useless. The concept is a plane with one bent term, turned by an angle; a label is flipped with
a probability of its own (the difficulty). All is drawn from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.stream import NUMBER, Stream

PERIODS: Final = 200
PERIOD_ROWS: Final = 100
FIRST_PERIODS: Final = 12
WINDOW_ROWS: Final = 1_200
LABEL_DELAY_ROWS: Final = 100
FEATURES: Final = 10
USEFUL: Final = 6
FLIPPED: Final = 0.1
"""Labels that no model can know, where the difficulty does not change."""
SEASON_PERIODS: Final = 50
SCALE: Final = 2.0
"""Of the regression's error, in standard deviations of its target."""

Path = NDArray[np.float64]
"""One value a row."""


def _rows() -> int:
    return (FIRST_PERIODS + PERIODS) * PERIOD_ROWS


def _time() -> Path:
    """Periods since the first release's rows ended; below 0 before."""
    return np.arange(_rows()) / PERIOD_ROWS - FIRST_PERIODS


def _constant(_rng: np.random.Generator) -> Path:
    return np.zeros(_rows())


def _season(_rng: np.random.Generator) -> Path:
    return 0.7 * np.sin(2.0 * np.pi * _time() / SEASON_PERIODS)


def _gradual(rng: np.random.Generator) -> Path:
    # A turn whose speed itself wanders: some stretches are nearly still.
    speed = np.repeat(rng.gamma(0.7, 0.03, (FIRST_PERIODS + PERIODS) // 4), 4 * PERIOD_ROWS)
    return np.asarray(np.cumsum(speed) / PERIOD_ROWS)


def _abrupt(rng: np.random.Generator) -> Path:
    jumps = int(rng.integers(3, 6))
    at = np.sort(rng.choice(np.arange(10, PERIODS - 10), jumps, replace=False))
    angles = np.concatenate([[0.0], np.cumsum(rng.uniform(0.6, 1.6, jumps))])
    return np.asarray(angles[np.searchsorted(at, _time(), side="right")])


def _recurring(rng: np.random.Generator) -> Path:
    turns = np.cumsum(rng.integers(15, 45, PERIODS // 15))
    return 1.2 * (np.searchsorted(turns, _time(), side="right") % 2).astype(np.float64)


def _wandering_noise(rng: np.random.Generator) -> Path:
    steps = rng.normal(0.0, 0.035, FIRST_PERIODS + PERIODS)
    level, levels = 0.15, []
    for step in steps:
        level = min(max(level + step, 0.02), 0.4)
        levels.append(level)
    return np.repeat(np.array(levels), PERIOD_ROWS)


def _score(features: NDArray[np.float64], angle: Path, rng: np.random.Generator) -> Path:
    """The concept: a plane through two fixed directions, turned by the angle, and a product of two features."""
    first, second = np.linalg.qr(rng.normal(size=(USEFUL, 2)))[0].T
    useful = features[:, :USEFUL]
    plane = np.cos(angle) * (useful @ first) + np.sin(angle) * (useful @ second)
    return np.asarray(plane + 0.5 * features[:, 0] * features[:, 1])


def _classification(name: str, angle_of: Callable[[np.random.Generator], Path], seed: int, *, noisy: bool = False) -> Stream:
    rng = np.random.default_rng([seed, *name.encode()])
    angle = angle_of(rng)
    flipped = _wandering_noise(rng) if noisy else np.full(_rows(), FLIPPED)
    features = rng.normal(size=(_rows(), FEATURES))
    positive = _score(features, angle, rng) > 0.0
    target = positive ^ (rng.uniform(size=_rows()) < flipped)
    return _stream(name, features, target.astype(np.float64), classes=2)


def _regression(name: str, angle_of: Callable[[np.random.Generator], Path], seed: int) -> Stream:
    rng = np.random.default_rng([seed, *name.encode()])
    angle = angle_of(rng)
    features = rng.normal(size=(_rows(), FEATURES))
    target = _score(features, angle, rng) + rng.normal(0.0, 0.3, _rows())
    return _stream(name, features, target, classes=0, scale=SCALE * float(target[: FIRST_PERIODS * PERIOD_ROWS].std()))


def _stream(name: str, features: NDArray[np.float64], target: Path, *, classes: int, scale: float = 1.0) -> Stream:
    return Stream(
        name=name,
        features=features.astype(np.float32),
        target=target,
        kinds=(NUMBER,) * FEATURES,
        classes=classes,
        period_rows=PERIOD_ROWS,
        label_delay_rows=LABEL_DELAY_ROWS,
        window_rows=WINDOW_ROWS,
        first_rows=FIRST_PERIODS * PERIOD_ROWS,
        scale=scale,
    )


GENERATED: Final[Mapping[str, Callable[[int], Stream]]] = {
    "none": lambda seed: _classification("none", _constant, seed),
    "noise": lambda seed: _classification("noise", _constant, seed, noisy=True),
    "season": lambda seed: _classification("season", _season, seed),
    "gradual": lambda seed: _classification("gradual", _gradual, seed),
    "gradual_regression": lambda seed: _regression("gradual_regression", _gradual, seed),
    "abrupt": lambda seed: _classification("abrupt", _abrupt, seed),
    "recurring": lambda seed: _classification("recurring", _recurring, seed),
}
"""By name: the stream of a seed."""
