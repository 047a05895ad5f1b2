"""What the arms said about a batch of rows, checked, and whose word the client gets.

An arm that raises, is late, or says something that is no answer costs the client nothing: the next arm that gave a valid
output for that row answers in the same request, and the failure stands in the record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from serving.router import CANDIDATE, CHAMPION, CONTROL
from streams.contract import TargetContract
from streams.events import ArmOutput, Scalar

LATE: Final = "late"
EXCEPTION: Final = "exception"
NON_FINITE: Final = "non_finite"
WRONG_SHAPE: Final = "wrong_shape"

Row = Mapping[str, Scalar]
Score = tuple[float, float | None]
"""Class index or number, and the probability of that class (None for regression)."""
Outcome = Score | str
"""What one arm made of one row: a score, or the kind of its failure."""

FALLBACKS: Final = (CHAMPION, CONTROL, CANDIDATE)
"""Who answers when the arm that should has not: the release that is proved, the one that was, the one that is on trial."""


class Predictor(Protocol):
    """Scores rows; what serving needs of a release."""

    def predict(self, rows: Sequence[Row]) -> Sequence[Score]:
        """One score per row, in order."""


def score(predictor: Predictor, groups: Sequence[Sequence[Row]], target: TargetContract) -> list[Outcome]:
    """Outcomes of all rows of all groups (one group per request), in order.

    One call for all of them; where that fails as a whole, one for each group, so that no request fails for a neighbour's row.
    """
    outcomes = _score_at_once(predictor, [row for group in groups for row in group], target)
    if len(groups) == 1 or not wholly_failed(outcomes):
        return outcomes
    return [outcome for group in groups for outcome in _score_at_once(predictor, group, target)]


def _score_at_once(predictor: Predictor, rows: Sequence[Row], target: TargetContract) -> list[Outcome]:
    try:
        return checked(predictor.predict(rows), len(rows), target)
    except Exception:  # noqa: BLE001 - a model is foreign code: whatever it raises, another arm answers and the failure is recorded
        return failed(EXCEPTION, len(rows))


def checked(result: object, rows: int, target: TargetContract) -> list[Outcome]:
    """One outcome per row of what a predictor returned, which may be anything.

    >>> target = TargetContract(name="y", task="classification", classes=("0", "1"))
    >>> checked([(1.0, 0.9), (float("nan"), 0.5), (7.0, 0.5)], 3, target)
    [(1.0, 0.9), 'non_finite', 'wrong_shape']
    >>> checked([(1.0, 0.9)], 2, target)
    ['wrong_shape', 'wrong_shape']
    """
    if not isinstance(result, (list, tuple)) or len(result) != rows:
        return failed(WRONG_SHAPE, rows)
    classes = len(target.classes) if target.task == "classification" else 0
    return [_checked_score(item, classes) for item in result]


def _checked_score(item: object, classes: int) -> Outcome:
    if not isinstance(item, tuple) or len(item) != 2:
        return WRONG_SHAPE
    value, confidence = item
    if not isinstance(value, (int, float)) or not (confidence is None or isinstance(confidence, (int, float))):
        return WRONG_SHAPE
    if not math.isfinite(value) or not (confidence is None or math.isfinite(confidence)):
        return NON_FINITE
    if classes and not (0 <= value < classes and value == int(value)):
        return WRONG_SHAPE
    return item


def failed(kind: str, rows: int) -> list[Outcome]:
    """The same failure for every row."""
    return [kind] * rows


def wholly_failed(outcomes: Sequence[Outcome]) -> bool:
    """Whether no row got a score."""
    return all(isinstance(outcome, str) for outcome in outcomes)


def arm_output(arm: str, release: str, outcome: Outcome) -> ArmOutput:
    """The outcome as it is recorded."""
    if isinstance(outcome, str):
        return ArmOutput(arm=arm, release=release, failure=outcome)
    return ArmOutput(arm=arm, release=release, value=float(outcome[0]), confidence=outcome[1])


def answering(wanted: str, outputs: Sequence[ArmOutput]) -> ArmOutput | None:
    """The output that the client gets: the wanted arm's if it is valid, else the first valid fallback's; None: there is none."""
    valid = {output.arm: output for output in outputs if output.value is not None}
    for arm in (wanted, *FALLBACKS):
        if arm in valid:
            return valid[arm]
    return None
