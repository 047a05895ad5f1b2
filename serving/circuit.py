"""When an arm is no longer asked: after so many failures in a row, until the route changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

FAILURES_TO_OPEN: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Batches that an arm failed on as a whole, in a row, and how the last of them failed.

    >>> circuit = Circuit()
    >>> for _ in range(5):
    ...     circuit = circuit.after("exception")
    >>> circuit.open, circuit.kind, circuit.after("").open
    (True, 'exception', True)
    """

    failures: int = 0
    kind: str = ""

    @property
    def open(self) -> bool:
        """Whether the arm is skipped; each skipped row counts as one of its failures, also after `late` alone."""
        return self.failures >= FAILURES_TO_OPEN

    def after(self, failure: str) -> Circuit:
        """The circuit after one more batch: '' for one that gave scores. An open one stays open."""
        if self.open:
            return self
        return Circuit(failures=self.failures + 1, kind=failure) if failure else Circuit()
