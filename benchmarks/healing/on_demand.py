"""A stream's servers, fitted only when a policy asks for them: where few are, as when nothing changes, most fits are spared."""

from __future__ import annotations

from benchmarks.healing.action import Action
from benchmarks.healing.fits import Fit, NewChallenger
from benchmarks.healing.stream import Losses, Stream
from benchmarks.healing.tables import by_period, challenged


class FittedOnDemand:
    """The same losses as a table's, kept once found."""

    def __init__(self, stream: Stream, challenger: NewChallenger, fit: Fit) -> None:
        self._stream = stream
        self._fit = fit
        self._challenger, self._stills, _ = challenged(stream, challenger(stream))
        self._challenger_sums = by_period(stream, self._challenger)
        self._found: dict[tuple[Action, int], Losses] = {}
        self._sums: dict[tuple[Action, int], Losses] = {}
        self._squares: dict[tuple[Action, int], Losses] = {}

    @property
    def stream(self) -> Stream:
        """What they serve."""
        return self._stream

    @property
    def challenger(self) -> Losses:
        """Row losses of the running challenger."""
        return self._challenger

    @property
    def challenger_sums(self) -> Losses:
        """The same by period."""
        return self._challenger_sums

    @property
    def fits(self) -> int:
        """Trainings so far."""
        return sum(kind is Action.TRAIN for kind, _ in self._found)

    def row_losses(self, kind: Action, model: int) -> Losses:
        """Losses of what was trained (TRAIN) or frozen (SWAP) at the begin of a period; of no meaning on earlier rows."""
        if (kind, model) not in self._found:
            self._found[kind, model] = self._losses(kind, model)
        return self._found[kind, model]

    def sums(self, kind: Action, model: int) -> Losses:
        """The same by period."""
        if (kind, model) not in self._sums:
            self._sums[kind, model] = by_period(self._stream, self.row_losses(kind, model))
        return self._sums[kind, model]

    def squares(self, kind: Action, model: int) -> Losses:
        """Sums of squared differences to the challenger, by period."""
        if (kind, model) not in self._squares:
            self._squares[kind, model] = by_period(self._stream, (self.row_losses(kind, model) - self._challenger) ** 2)
        return self._squares[kind, model]

    def _losses(self, kind: Action, model: int) -> Losses:
        stream = self._stream
        features, target = stream.features[: stream.end], stream.target[: stream.end]
        if kind is Action.SWAP:
            return self._stills[model](features, target)
        return stream.losses(self._fit(stream, *stream.window(model))(features), target)
