"""From a window of rows to a model with its profile: search, final fit, outputs on the reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.encoding import Matrix, encode_columns
from streams.policy import TrainingPolicy
from streams.profile import Profile
from streams.reference import reference_profile
from trainer.search import Found, search
from trainer.stopwatch import Stopwatch
from trainer.table import Table
from trainer.trial import TrialPool, TrialRequest
from trainer.workshop import Formats, Model


class NotTrainable(Exception):
    """The data or the policy are at fault: trying again would end the same way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A model that was fitted on the first rows of a table, and what it says on all of them."""

    artefact: bytes
    model: Model
    found: Found
    fit_seconds: float
    matrix: Matrix
    values: NDArray[np.float64]

    def metrics(self) -> dict[str, float]:
        """What the search found, by name."""
        losses: Mapping[str, float] = {
            f"trial_loss[{place}]": loss for place, loss in enumerate(self.found.losses) if loss is not None
        }
        return {**losses, **({} if self.found.loss is None else {"search_loss": self.found.loss})}


def fit(
    *,
    contract: Contract,
    table: Table,
    fit_rows: int,
    policy: TrainingPolicy,
    seed: int,
    pool: TrialPool,
    formats: Formats,
    watch: Stopwatch,
    limit_s: float,
) -> Fitted:
    """Search and fit on the first `fit_rows` rows. Raises NotTrainable, PoolFailed, and what the search raises."""
    matrix = encode_columns(contract, table.columns)
    pool.load(formats.pack(contract, table.part(0, fit_rows)))
    watch.lap("load")
    found = search(policy=policy, rows=fit_rows, pool=pool, seed=seed, left_s=lambda: watch.left(limit_s))
    watch.lap("search")
    final = TrialRequest(
        number=len(found.losses),
        recipe=policy.recipe,
        parameters=dict(found.parameters),
        seed=seed,
        fit_rows=fit_rows,
        keep=True,
    )
    (result,) = pool.run([final], watch.left(limit_s))
    if result.fault:
        raise NotTrainable(f"the final fit failed: {result.fault}")
    model = formats.load(formats.artefact, contract, result.artefact)
    values, _ = model.predict_matrix(matrix)
    watch.lap("fit")
    return Fitted(
        artefact=result.artefact,
        model=model,
        found=found,
        fit_seconds=found.seconds + result.seconds,
        matrix=matrix,
        values=values,
    )


def profile_of(contract: Contract, contract_digest: str, table: Table, fitted: Fitted) -> Profile:
    """The reference of the release: its rows in time order and what it says on them."""
    return reference_profile(
        model=contract.model,
        contract_digest=contract_digest,
        contract=contract,
        columns=table.columns,
        outputs=fitted.values.tolist(),
    )
