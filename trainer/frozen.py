"""The always-learning challenger as a trainer sees it: a model that stands still once it is asked for, with its record so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from streams.contract import Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLosses:
    """Losses in [0, 1] of challenger and champion on the very same rows, in the order of prediction.

    Each row was answered by the challenger before it learnt it, so that all of them are new to it.
    """

    at: Sequence[datetime]
    """When each was predicted."""
    champions: Sequence[str]
    """The release that answered each as champion."""
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A challenger as it stood at one moment."""

    contract: str
    """Digest of the contract by which it reads rows."""
    known: frozenset[str]
    """Ids of the incidents whose rows it has left out, those that a person ended among them."""
    learnt_until: datetime | None
    """Latest prediction that it learnt from; None: none yet."""
    losses: PairedLosses
    format: str
    """Of the artefact that `export` makes."""
    export: Callable[[Contract], bytes]
    """Raises ChallengerUnusable."""


class ChallengerUnusable(Exception):
    """There is a challenger, and it cannot be read or written as an artefact."""


class Challengers(Protocol):
    """Where challengers are found."""

    def read(self, model: str) -> Frozen | None:
        """The challenger of a model as it stands; None: it has none. Raises ChallengerUnusable."""


class _Nowhere:
    def read(self, model: str) -> Frozen | None:  # noqa: ARG002 - the port's signature
        return None


NO_CHALLENGERS: Final[Challengers] = _Nowhere()
"""Of an installation without agents."""
