"""Thresholds of tempered CUSUMs by formula: no simulation, no bootstrap.

Cramer-Lundberg exponent times Siegmund's overshoot, averaged over the reference's own sampling error; the larger of two
conditions holds: the whole model at its reference, and one stream for ever on the edge of its tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

_BISECTIONS = 60
_NODES, _RAW_WEIGHTS = np.polynomial.hermite_e.hermegauss(21)
_WEIGHTS = _RAW_WEIGHTS / _RAW_WEIGHTS.sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """`height` on the tempered scale, and `uncertainty`: the sd of ln(false alarm rate) due to the reference's length."""

    height: float
    uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a threshold has to keep: its rate per row at the reference, and at the edge of the tolerance."""

    rate: float
    """False alarms per row of this alternative while the whole model is at its reference."""
    edge_rate: float
    """The same, were this the one stream that sits for ever on the edge of its tolerance."""
    edge_ratio: float
    """Tolerance over the effective tolerance (1: the reference is long enough)."""


def ball_corrected(scores: Floats, p: Floats, radius: float) -> Floats:
    """Scores [bins] less the logarithm of the supremum of their e-value over {chi2(p', p) <= radius**2} (Cauchy-Schwarz)."""
    likelihood = np.exp(scores)
    mean = float(p @ likelihood)
    deviation = float(np.sqrt(max(p @ likelihood**2 - mean**2, 0.0)))
    corrected: Floats = scores - np.log(mean + radius * deviation)
    return corrected


def threshold(p: Floats, scores: Floats, *, effect: float, rows: float, demand: Demand, known: bool = False) -> Threshold:
    """Threshold of one alternative with corrected, untempered `scores`; `known`: the reference's own error is already in p."""
    drift = -float(p @ scores)
    deviation = math.sqrt(max(float(p @ scores**2) - drift**2, 0.0))
    exponent = _exponent(p, scores)
    error = 0.0 if known else _exponent_error(p, scores, exponent=exponent, effect=effect, rows=rows)
    overshoot = siegmund(exponent * deviation * math.sqrt(max(1 / effect, 0.05))) ** 2
    exponents = np.maximum(exponent - _NODES * error, 0.02 * exponent)
    drifts = drift * exponents / exponent

    def rate(height: float) -> float:
        per_row = np.minimum(drifts * exponents * overshoot * np.exp(-exponents * height), 0.01)
        return float((_WEIGHTS * per_row).sum()) / effect

    height = _root(lambda candidate: rate(candidate) - demand.rate, high=400.0)
    edge = 1 + max(exponent - 1, 0.0) * (1 - demand.edge_ratio)
    edge_rate = drift * edge / exponent * edge * overshoot / effect
    height = max(height, float(np.log(max(edge_rate / demand.edge_rate, 1.0))) / edge)
    return Threshold(height=height, uncertainty=error * height)


def siegmund(x: float) -> float:
    """Siegmund's function nu, the correction for the overshoot of a random walk (Siegmund 1985, 4.38)."""
    x = max(float(x), 1e-3)
    density = np.exp(-0.5 * (x / 2) ** 2) / np.sqrt(2 * np.pi)
    return float((2 / x) * (ndtr(x / 2) - 0.5) / ((x / 2) * ndtr(x / 2) + density))


def _exponent(p: Floats, scores: Floats) -> float:
    """kappa > 0 with sum p exp(kappa scores) = 1."""
    high = 50.0

    def log_mean(kappa: float) -> float:
        return float(np.log(p @ np.exp(kappa * scores)))

    while log_mean(high) < 0 and high < 400:
        high *= 2
    return _root(lambda kappa: -log_mean(kappa), low=1e-3, high=high)


def _exponent_error(p: Floats, scores: Floats, *, exponent: float, effect: float, rows: float) -> float:
    """Standard deviation of kappa, from the length of the reference and, for dependent streams, of the design effect."""
    likelihood = np.exp(exponent * scores)
    effective = rows / effect
    slope = float(p @ (scores * likelihood))
    variance = float(p @ likelihood**2 - 1) / effective / slope**2
    return float(np.sqrt(variance + (exponent**2 / effective if effect > 1.05 else 0.0)))


def _root(function: Callable[[float], float], *, low: float = 0.0, high: float) -> float:
    """Where a decreasing function crosses 0."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if function(middle) > 0:
            low = middle
        else:
            high = middle
    return low
