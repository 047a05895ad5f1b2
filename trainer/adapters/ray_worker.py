"""The body of a Ray actor: bytes in, bytes out, so that nothing of ours is pickled."""

from __future__ import annotations

import os

import msgspec

from trainer.adapters.worker import Rows, run_trial, unpack
from trainer.trial import TrialData, TrialRequest


class RayWorker:
    """Holds the rows of one run, and fits on them."""

    def __init__(self) -> None:
        self._rows: Rows | None = None

    def warm(self) -> bytes:
        """Load the libraries, so that the first trial does not wait for them; returns the process id."""
        import xgboost

        xgboost.Booster({"nthread": 1})
        return str(os.getpid()).encode()

    def load(self, data: bytes) -> bytes:
        """Hold these rows from now on."""
        self._rows = unpack(msgspec.msgpack.decode(data, type=TrialData))
        return b""

    def run(self, request: bytes) -> bytes:
        """Run one trial on the rows that are held."""
        if self._rows is None:
            raise RuntimeError("no rows are loaded")
        return msgspec.msgpack.encode(run_trial(self._rows, msgspec.msgpack.decode(request, type=TrialRequest)))
