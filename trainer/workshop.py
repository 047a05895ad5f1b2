"""What a run needs of the world: the ports that the trainer's adapters fill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract
from streams.crash_points import NOWHERE, CrashPoints
from streams.encoding import Matrix
from streams.events import RecallFinished, TrainingFinished
from streams.release import BlobStore
from trainer.dataset import RowSource
from trainer.frozen import NO_CHALLENGERS, Challengers
from trainer.runcard import Environment
from trainer.table import Table
from trainer.trial import TrialData, TrialPool

ACTOR: Final = "trainer"
"""Who says what a run came to."""

Result = TypeVar("Result", TrainingFinished, RecallFinished)


class Results(Protocol):
    """Results by run and stage (recall, training), kept for good: a stage of a run has one result."""

    def find(self, run: str, stage: type[Result]) -> Result | None:
        """What that stage ended with, if it has ended."""

    def keep(self, result: Result) -> Result:
        """Store the result unless the stage has one already; returns the one that counts."""


class Model(Protocol):
    """A loaded artefact."""

    def predict_matrix(self, matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Values and, for classifiers, confidences of encoded rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """How tables and models become bytes and come back."""

    artefact: str
    """Name, in the release, of the format that trainings write."""
    to_parquet: Callable[[Table, Contract], bytes]
    from_parquet: Callable[[bytes, Contract], Table]
    pack: Callable[[Contract, Table], TrialData]
    load: Callable[[str, Contract, bytes], Model]
    """By the format that the release names. Raises NotTrainable where the artefact is not what it says."""


Seconds: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the run card says of the process that ran."""

    environment: Environment
    commit: str = ""
    tags: Mapping[str, str] | None = None


NO_FACTS: Final = Facts(environment=Environment())


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Everything that a run touches."""

    store: BlobStore
    results: Results
    source: RowSource
    pool: TrialPool
    formats: Formats
    wall_clock: Callable[[], datetime]
    seconds: Seconds
    """A clock that only runs forward."""
    challengers: Challengers = NO_CHALLENGERS
    facts: Facts = NO_FACTS
    crash: CrashPoints = NOWHERE
