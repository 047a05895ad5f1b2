"""A model's first champion from a table, and the record that makes it known."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas
from numpy.typing import NDArray

from config.settings import Settings
from drift.noise_replay import TooFewRows, noise_trainings
from homeostat.write_control import write_control
from streams.adapters.crash_points import CrashOnce
from streams.adapters.store import DirectoryStore
from streams.events import ModelRegistered, Scalar, derived_id
from streams.policy import Policy
from streams.release import BlobStore, load_release
from trainer.adapters.formats import FORMATS
from trainer.adapters.local_pool import LocalPool
from trainer.adapters.process_facts import commit, environment
from trainer.candidate import NotTrainable
from trainer.contract_inference import BadTable
from trainer.first_release import NOT_TOLD, first_release
from trainer.older_half import Figures, NotTold
from trainer.recipes.xgboost_trees import BadParameters
from trainer.runcard import RunCard
from trainer.search import NothingFound
from trainer.trial import PoolFailed
from trainer.workshop import Facts

Columns = Mapping[str, Sequence[Scalar]]
"""Values by column, rows in time order; None: missing."""

NOISE: Final = "noise_trainings_per_1000_periods"
"""Metric of the run card: what noise alone would buy, at this policy's price, on rows like the table's."""


class RegistrationRefused(Exception):
    """The table does not make a model; the message says why and what to do."""


def read_table(path: Path, target: str) -> Columns:
    """The columns of a .csv or .parquet file. Raises RegistrationRefused."""
    readers = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet}
    if path.suffix not in readers:
        raise RegistrationRefused(f"{path} is neither .csv nor .parquet; convert it to one of them.")
    try:
        frame = readers[path.suffix](path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's parser errors are ValueErrors
        raise RegistrationRefused(
            f"{path} cannot be read ({error}); give a file with one header line and one row a line."
        ) from error
    if target not in frame.columns:
        raise RegistrationRefused(f"{path} has no column {target!r}; it has: {', '.join(map(str, frame.columns))}.")
    if frame.empty:
        raise RegistrationRefused(f"{path} has no rows; a first champion needs some.")
    return {str(name): [_scalar(value) for value in frame[name].tolist()] for name in frame.columns}


def _scalar(value: object) -> Scalar:
    """A cell as it would come over HTTP."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def register_model(
    settings: Settings, model: str, table: Columns, target: str, policy: Policy, at: datetime, *, rows_a_period: int = 0
) -> ModelRegistered:
    """Train a first release in this process, store it and write the record. Raises RegistrationRefused, LogUnavailable.

    `at` is when the model begins in the time of its events: now, or the past that a replay starts from. `rows_a_period`: labelled
    rows that a decision period will have, by which it can be told what noise would buy; 0: it is not known, the table has no times.
    """
    pool, crash = LocalPool(), CrashOnce(settings.crash_at, settings.crashed)
    try:
        release, contract = first_release(
            store=DirectoryStore(settings.store),
            model=model,
            table=table,
            target=target,
            policy=policy,
            pool=pool,
            formats=FORMATS,
            seed=settings.seed,
            facts=Facts(environment=environment(), commit=commit()),
            seconds=time.perf_counter,
            created=datetime.now(UTC),
            crash=crash,
            figures=noise_figures(policy, rows_a_period, settings.seed) if rows_a_period else None,
        )
    except (BadTable, NotTrainable, BadParameters, NothingFound, PoolFailed) as error:
        raise RegistrationRefused(f"{model} cannot be trained on this table: {error}") from error
    finally:
        pool.close()
    record = ModelRegistered(
        id=derived_id(model, "registered", release),
        at=at,
        model=model,
        actor="homeostat register",
        reason=f"registered with {len(table[target])} rows",
        release=release,
        contract=contract,
        policy=policy,
    )
    write_control(settings, record)
    crash.reached("registration:written")
    return record


def noise_told(store: BlobStore, release: str) -> tuple[float | None, str]:
    """What the run card of a first release says that noise would buy in 1,000 periods; None, and why it does not say."""
    card = msgspec.json.decode(store.get(load_release(store, release).card), type=RunCard)
    return card.metrics.get(NOISE), card.tags.get(NOT_TOLD, "")


def noise_figures(policy: Policy, rows_a_period: int, seed: int) -> Figures:
    """What is told of the losses on the newer half of a table, for the run card."""

    def figures(losses: NDArray[np.float64]) -> dict[str, float]:
        try:
            told = noise_trainings(
                losses, np.zeros_like(losses), rows_a_period=rows_a_period, policy=policy.staleness, seed=seed % 2**32
            )
        except TooFewRows as error:
            raise NotTold(f"of the newer half of the table, {error}") from error
        return {NOISE: told.per_1000_periods, "noise_replay_rows_a_period": float(rows_a_period)}

    return figures
