"""What the demo is compared with, without Kafka: the frozen first model, and retraining by the clock.

The clock is given every advantage: a training costs no time, its model serves at once, there is no gate and no canary.
Like the loop it knows a label only 48 rows later, and trains on the same number of rows with the same fixed parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from homeostat.demo_policy import DEMO_POLICY, LABEL_DELAY_ROWS
from homeostat.electricity import Columns

WINDOW_ROWS: Final = DEMO_POLICY.training.window_rows
PARAMETERS: Final[Mapping[str, float]] = DEMO_POLICY.training.parameters

Wrong = NDArray[np.bool_]
"""Per row of the stream: whether a model is wrong on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A model and where it errs: computed for every row from its training on, so that nothing is predicted twice."""

    trained_until: int
    """First row that it was not trained on."""
    wrong: Wrong

    def errors(self, begin: int, end: int) -> int:
        """Wrong answers on rows [begin, end)."""
        return int(self.wrong[begin:end].sum())


def fit(columns: Columns, begin: int, end: int, parameters: Mapping[str, float] = PARAMETERS, seed: int = 0) -> Fitted:
    """An XGBoost classifier on rows [begin, end), one thread. `rounds` is the number of trees, the rest are XGBoost's own."""
    import xgboost

    fixed = {name: value for name, value in parameters.items() if name != "rounds"}
    if "max_depth" in fixed:
        fixed["max_depth"] = int(fixed["max_depth"])
    booster = xgboost.train(
        {**fixed, "objective": "binary:logistic", "nthread": 1, "seed": seed, "verbosity": 0},
        xgboost.DMatrix(columns.features[begin:end], label=columns.labels[begin:end]),
        num_boost_round=int(parameters["rounds"]),
    )
    probabilities = booster.predict(xgboost.DMatrix(columns.features))
    return Fitted(trained_until=end, wrong=(probabilities > 0.5) != (columns.labels == 1))


def clock_errors(columns: Columns, trainings: int) -> Wrong:
    """Per streamed row whether the served model is wrong when `trainings` trainings are spaced evenly (none at start or end).

    Each uses the newest WINDOW_ROWS rows whose labels are known, 48 rows behind, and serves at once.
    """
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
    return wrong
