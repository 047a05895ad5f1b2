"""The gate: whether a candidate may be tried on live traffic, from the newest rows that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.contract import TargetContract
from trainer.table import Target, losses

MINIMUM_ROWS: Final = 30
"""Fewer rows prove nothing either way, of the whole or of a slice."""
SLICE_MARGINS: Final = 4.0
"""A slice may lose so many times the margin: a world that changed takes from one slice what it gives to another."""
CERTAIN_SD: Final = 2.0
"""… and only counts when the loss is beyond it by so many standard errors: with ten slices of forty rows one looks bad by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """Whether it passed, why, and the numbers. `measured` False: too few rows to say, shadow will."""

    passed: bool
    measured: bool
    why: str
    numbers: Mapping[str, float]


def slices_of(target: TargetContract, actual: Target) -> dict[str, NDArray[np.bool_]]:
    """The slices that are judged apart: every class (or third of the target's range), and the older and newer half."""
    rows = len(actual)
    position = np.arange(rows)
    slices = {"older half": position < rows // 2, "newer half": position >= rows // 2}
    if target.task == "classification":
        slices.update({f"class {name}": actual == place for place, name in enumerate(target.classes)})
    elif rows:
        low, high = np.quantile(actual, [1 / 3, 2 / 3])
        slices.update(
            {"low third": actual <= low, "middle third": (actual > low) & (actual <= high), "high third": actual > high}
        )
    return slices


def judge(
    *,
    target: TargetContract,
    actual: Target,
    candidate: NDArray[np.float64],
    champion: NDArray[np.float64],
    margin: float,
) -> GateVerdict:
    """Candidate against champion on the same rows (values as served, in time order). Positive differences: the candidate loses more."""
    faulty = int((~np.isfinite(candidate)).sum())
    numbers: dict[str, float] = {"gate_rows": float(len(actual)), "gate_margin": margin, "gate_not_finite": float(faulty)}
    if faulty:
        why = f"the candidate's output is not finite on {faulty} of {len(actual)} holdout rows"
        return GateVerdict(passed=False, measured=True, why=why, numbers=numbers)
    if len(actual) < MINIMUM_ROWS:
        why = f"only {len(actual)} holdout rows that neither model was trained on, {MINIMUM_ROWS} are needed to judge: shadow decides"
        return GateVerdict(passed=True, measured=False, why=why, numbers=numbers)
    ours, theirs = losses(target, candidate, actual), losses(target, champion, actual)
    numbers |= {"gate_candidate_loss": float(ours.mean()), "gate_champion_loss": float(theirs.mean())}
    difference = ours - theirs
    numbers |= {
        f"gate_difference[{name}]": float(difference[rows].mean()) for name, rows in _large(slices_of(target, actual), actual)
    }
    mean = float(difference.mean())
    numbers["gate_difference"] = mean
    if mean > margin:
        why = f"the candidate loses {mean:.3f} more than the champion on {len(actual)} newest rows, {margin:.3f} is allowed"
        return GateVerdict(passed=False, measured=True, why=why, numbers=numbers)
    bad = _bad_slice(difference, slices_of(target, actual), actual, margin * SLICE_MARGINS)
    if bad:
        return GateVerdict(passed=False, measured=True, why=bad, numbers=numbers)
    why = f"loss {ours.mean():.3f} against the champion's {theirs.mean():.3f} on {len(actual)} newest rows (margin {margin:.3f})"
    return GateVerdict(passed=True, measured=True, why=why, numbers=numbers)


def _large(slices: Mapping[str, NDArray[np.bool_]], actual: Target) -> list[tuple[str, NDArray[np.bool_]]]:
    return [(name, rows) for name, rows in slices.items() if MINIMUM_ROWS <= int(rows.sum()) < len(actual)]


def _bad_slice(difference: NDArray[np.float64], slices: Mapping[str, NDArray[np.bool_]], actual: Target, allowed: float) -> str:
    for name, rows in _large(slices, actual):
        part = difference[rows]
        mean, error = float(part.mean()), float(part.std(ddof=1)) / len(part) ** 0.5
        if mean - CERTAIN_SD * error > allowed:
            return (
                f"on {name} ({len(part)} rows) the candidate loses {mean:.3f} ± {error:.3f} more than the champion, "
                f"{allowed:.3f} is allowed there"
            )
    return ""
