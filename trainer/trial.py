"""One fit as a worker is asked to do it, and the port of whoever has workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class TrialData(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a run as they go to workers, once: raw little-endian buffers, nothing that has to be unpickled."""

    contract: bytes
    """Canonical JSON."""
    rows: int
    matrix: bytes
    """float32, row by row (see `streams.encoding`)."""
    target: bytes
    """float64: class indices or numbers."""


class TrialRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Fit rows [0, fit_rows) and measure the loss on [score_from, score_to)."""

    number: int
    recipe: str
    parameters: dict[str, float]
    seed: int
    fit_rows: int
    score_from: int = 0
    score_to: int = 0
    keep: bool = False
    """Return the model, too."""


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker returns. `fault`: why the fit itself failed (the parameters or the data, not the machine); '' if it did not."""

    number: int
    loss: float | None = None
    """Mean over the scored rows; None: no rows to score, or a fault."""
    artefact: bytes = b""
    seconds: float = 0.0
    fault: str = ""


class TrialPool(Protocol):
    """Warm workers. Raises PoolFailed when the machinery fails, TrialsLate at the deadline."""

    @property
    def size(self) -> int:
        """How many trials run at once."""

    @property
    def executor(self) -> str:
        """What runs them, in words, for the run card."""

    def load(self, data: TrialData) -> None:
        """Give the workers the rows of a run; the next trials are about them."""

    def run(self, trials: Sequence[TrialRequest], deadline_s: float) -> Sequence[TrialResult]:
        """Run all within so many seconds; results in the order of the requests. A trial whose worker dies is run again, a few times."""

    def close(self) -> None:
        """Stop the workers."""


class PoolFailed(Exception):
    """The workers cannot work: infrastructure, so that the attempt may be repeated."""


class TrialsLate(PoolFailed):
    """The deadline passed; what was running was stopped."""
