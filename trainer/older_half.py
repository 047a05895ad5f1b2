"""How a first release's recipe fares on rows that it has not seen: fitted anew to the older half, scored on the newer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.policy import TrainingPolicy
from trainer.candidate import Fitted, NotTrainable, fit
from trainer.recipes.xgboost_trees import BadParameters
from trainer.search import NothingFound
from trainer.stopwatch import Stopwatch
from trainer.table import Table, encode_target, losses
from trainer.trial import PoolFailed, TrialPool
from trainer.workshop import Formats

Figures: TypeAlias = Callable[[NDArray[np.float64]], Mapping[str, float]]
"""What is made of those losses, by name, for the run card. Raises NotTold."""


class NotTold(Exception):
    """A figure cannot be told; the message says why. Nothing else depends on it."""


def newer_half_losses(
    *,
    contract: Contract,
    table: Table,
    fitted: Fitted,
    policy: TrainingPolicy,
    seed: int,
    pool: TrialPool,
    formats: Formats,
    limit_s: float,
) -> NDArray[np.float64]:
    """Row losses on the newer half, in time order, of the parameters that were found, fitted to the older one. Raises NotTold."""
    half = table.rows // 2
    found = msgspec.structs.replace(policy, parameters=dict(fitted.found.parameters), search={}, trials=1)
    try:
        older = fit(
            contract=contract,
            table=table,
            fit_rows=half,
            policy=found,
            seed=seed,
            pool=pool,
            formats=formats,
            watch=Stopwatch(lambda: 0.0),
            limit_s=limit_s,
        )
    except (NotTrainable, BadParameters, NothingFound, PoolFailed) as error:
        raise NotTold(f"the older half of the rows makes no model: {error}") from error
    return losses(contract.target, older.values[half:], encode_target(contract.target, table.target[half:]))
