"""Replay a policy over a table: what it served, what it bought, and what that cost. A policy sees the past only.

At the end of each period but the last a policy says Keep, Train or Swap; what it chose serves from the next period on.
Then it may read losses of rows whose labels are known, of what served and of the challenger. Asking for more raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.healing.action import Action
from benchmarks.healing.stream import Losses, Stream


class LookAhead(Exception):
    """A policy asked for what is not known yet."""


class Servers(Protocol):
    """Losses of all that could serve: a table, or fits on demand."""

    @property
    def stream(self) -> Stream:
        """What they serve."""

    @property
    def challenger(self) -> Losses:
        """Row losses of the running challenger."""

    @property
    def challenger_sums(self) -> Losses:
        """The same by period."""

    def row_losses(self, kind: Action, model: int) -> Losses:
        """Losses of what was trained (TRAIN) or frozen (SWAP) at the begin of a period, on every later row."""

    def sums(self, kind: Action, model: int) -> Losses:
        """The same by period."""

    def squares(self, kind: Action, model: int) -> Losses:
        """Sums of squared differences to the challenger, by period."""


@dataclass(frozen=True, slots=True)
class Served:
    """What answered from row `since` on: a trained model, or a frozen challenger."""

    kind: Action
    """TRAIN or SWAP."""
    model: int
    """Period from whose begin on it serves."""
    since: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodLosses:
    """Losses of one period whose labels are complete."""

    period: int
    rows: int
    champion: float
    """Sum of the losses of what served."""
    challenger: float
    square: float
    """Sum of the squared differences of both."""

    @property
    def difference(self) -> float:
        """Mean of champion minus challenger."""
        return (self.champion - self.challenger) / self.rows

    @property
    def row_variance(self) -> float:
        """Variance of a row's difference."""
        return max(self.square / self.rows - self.difference**2, 0.0)


class Past:
    """What is known when a period has just ended."""

    __slots__ = ("_served", "_servers", "period")

    def __init__(self, servers: Servers, served: list[Served], period: int) -> None:
        self._servers = servers
        self._served = served
        self.period = period
        """The one that just ended."""

    @property
    def stream(self) -> Stream:
        """For its sizes: rows are asked of `features`, which does not show those to come."""
        return self._servers.stream

    @property
    def now(self) -> int:
        """One past the last row that came."""
        return self.stream.begin(self.period + 1)

    @property
    def known(self) -> int:
        """Rows before this one have labels."""
        return self.stream.known(self.now)

    @property
    def complete(self) -> int:
        """Periods before this one have all their labels."""
        return (self.known - self.stream.first_rows) // self.stream.period_rows

    @property
    def champion(self) -> Served:
        """What serves now."""
        return self._served[-1]

    @property
    def champion_period(self) -> int:
        """The first period that the champion served."""
        return (self.champion.since - self.stream.first_rows) // self.stream.period_rows

    def period_losses(self, period: int) -> PeriodLosses:
        """Losses of a complete period, of what served in it and of the challenger."""
        if not 0 <= period < self.complete:
            raise LookAhead(f"period {period} asked for at the end of {self.period}: complete are 0 to {self.complete - 1}.")
        server = self._server(period)
        return PeriodLosses(
            period=period,
            rows=self.stream.period_rows,
            champion=float(self._servers.sums(server.kind, server.model)[period]),
            challenger=float(self._servers.challenger_sums[period]),
            square=float(self._servers.squares(server.kind, server.model)[period]),
        )

    def champion_losses(self, begin: int, end: int) -> Losses:
        """Row losses of whatever served rows [begin, end)."""
        self._check(begin, end, self.known)
        losses = np.empty(end - begin)
        for place, served in enumerate(self._served):
            until = self._served[place + 1].since if place + 1 < len(self._served) else end
            low, high = max(begin, served.since), min(end, until)
            if low < high:
                losses[low - begin : high - begin] = self._servers.row_losses(served.kind, served.model)[low:high]
        return losses

    def challenger_losses(self, begin: int, end: int) -> Losses:
        """Row losses of the challenger, each before it learnt the row."""
        self._check(begin, end, self.known)
        return self._servers.challenger[begin:end]

    def features(self, begin: int, end: int) -> NDArray[np.float32]:
        """Rows that came, the first release's included."""
        self._check(begin, end, self.now, least=0)
        return self.stream.features[begin:end]

    def _check(self, begin: int, end: int, limit: int, least: int | None = None) -> None:
        low = self.stream.first_rows if least is None else least
        if not low <= begin <= end <= limit:
            raise LookAhead(f"rows {begin} to {end} asked for at the end of period {self.period}: known are {low} to {limit}.")

    def _server(self, period: int) -> Served:
        row = self.stream.begin(period)
        for served in reversed(self._served):
            if served.since <= row:
                return served
        raise AssertionError("the first release serves from the first row on")


class RetrainingPolicy(Protocol):
    """Decides at the end of each period. A new one for each replay: it keeps its own account."""

    def decide(self, past: Past) -> Action:
        """What to do now. What it answers is done: the next call finds it serving."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a replay gave."""

    loss: float
    """Sum over all rows after the first release's."""
    trainings: tuple[int, ...]
    """Periods from whose begin on a new model served."""
    swaps: tuple[int, ...]
    price: float
    rows: int

    @property
    def cost(self) -> float:
        """Loss and what the trainings cost, in the same unit; swaps for nothing."""
        return self.cost_at(self.price)

    def cost_at(self, price: float, swap_price: float = 0.0) -> float:
        """Loss and what trainings and swaps would cost at these prices: the choices stay."""
        return self.loss + price * len(self.trainings) + swap_price * len(self.swaps)

    @property
    def accuracy(self) -> float:
        """1 minus the mean loss."""
        return 1.0 - self.loss / self.rows


def replay(servers: Servers, policy: RetrainingPolicy, price: float = 0.0) -> Outcome:
    """Serve the whole stream as the policy decides."""
    stream = servers.stream
    served = [Served(Action.TRAIN, 0, stream.first_rows)]
    loss = 0.0
    for period in range(stream.periods):
        loss += float(servers.sums(served[-1].kind, served[-1].model)[period])
        if period + 1 < stream.periods:
            action = policy.decide(Past(servers, served, period))
            if action is not Action.KEEP:
                # A new list, so that a Past which a policy kept does not learn of it.
                served = [*served, Served(action, period + 1, stream.begin(period + 1))]
    return Outcome(
        loss=loss,
        trainings=tuple(one.model for one in served[1:] if one.kind is Action.TRAIN),
        swaps=tuple(one.model for one in served[1:] if one.kind is Action.SWAP),
        price=price,
        rows=stream.periods * stream.period_rows,
    )
