"""The demo as it runs: a live panel in a terminal, plain lines elsewhere; each decision as it is made."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from homeostat.demo.follower import Follower, Seen
from homeostat.demo.tally import Tally
from streams.events import Decided

REFRESH_S: Final = 0.25
PLAIN_EVERY_S: Final = 5.0
RATE_OVER_S: Final = 5.0

QUIET: Final = frozenset({"StalenessMeasured", "EvidenceNoted", "Refused"})
"""Made every few rows: shown as numbers, not as lines; refused are, as a rule, the losses of releases that do not serve."""
_COLOURS: Final = {
    "TrainingBought": "yellow",
    "TrainingStarted": "yellow",
    "ChallengerWanted": "yellow",
    "ChallengerFrozen": "bold green",
    "ShadowStarted": "cyan",
    "StepTaken": "cyan",
    "Promoted": "bold green",
    "RolledBack": "bold red",
    "CandidateRejected": "red",
    "TrainingRefused": "red",
    "GateOverridden": "bold red",
    "IncidentOpened": "bold red",
    "IncidentClosed": "green",
    "Recalled": "bold green",
}


class Rate:
    """Events a second over the last seconds."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque(maxlen=1_000)

    def at(self, now: float, events: int) -> float:
        """With one more reading."""
        self._points.append((now, events))
        while len(self._points) > 2 and now - self._points[0][0] > RATE_OVER_S:
            self._points.popleft()
        (since, before), (until, after) = self._points[0], self._points[-1]
        return (after - before) / (until - since) if until > since else 0.0


class DemoConsole:
    """Shows tallies and decisions until stopped."""

    def __init__(self, console: Console, tallies: Mapping[str, Tally], follower: Follower) -> None:
        self._console = console
        self._tallies = tallies
        self._follower = follower
        self._shown = 0
        self._rate = Rate()
        self._staleness: dict[str, Decided] = {}

    async def run(self) -> None:
        """Until cancelled."""
        if self._console.is_terminal:
            await self._live()
        else:
            await self._plain()

    def tell_decisions(self) -> None:
        """Print what was decided since the last call."""
        for seen in self._follower.decisions[self._shown :]:
            self._shown += 1
            if seen.decision.kind == "StalenessMeasured":
                self._staleness[seen.decision.model] = seen.decision
            if seen.decision.kind not in QUIET and seen.decision.model in self._tallies:
                self._console.print(decision_line(seen))

    async def _live(self) -> None:
        with Live(self._panel(), console=self._console, refresh_per_second=8, transient=True) as live:
            while True:
                self.tell_decisions()
                live.update(self._panel())
                await asyncio.sleep(REFRESH_S)

    async def _plain(self) -> None:
        told = 0.0
        while True:
            self.tell_decisions()
            if time.monotonic() - told >= PLAIN_EVERY_S:
                told = time.monotonic()
                self._console.print(self._line(), markup=False)
            await asyncio.sleep(REFRESH_S)

    def _events_per_s(self) -> float:
        return self._rate.at(time.monotonic(), sum(tally.predictions + tally.labels for tally in self._tallies.values()))

    def _line(self) -> str:
        parts = [f"{self._events_per_s():,.0f} events/s"]
        for name, tally in self._tallies.items():
            done = (tally.answered - tally.start) / max(1, tally.stop - tally.start)
            parts.append(f"{name} {done:.0%}: accuracy {tally.accuracy:.3f}, {self._canary(name)}, staleness {self._price(name)}")
        return " | ".join(parts)

    def _panel(self) -> Panel:
        table = Table(box=None, expand=True)
        for heading in ("model", "rows", "", "accuracy served", "champion", "canary", "staleness / price"):
            table.add_column(heading, justify="left")
        for name, tally in self._tallies.items():
            rows, total = tally.answered - tally.start, tally.stop - tally.start
            route = self._follower.routes.get(name)
            table.add_row(
                Text(name, style="bold"),
                f"{rows:,} of {total:,}",
                ProgressBar(total=max(1, total), completed=rows, width=20),
                f"{tally.accuracy:.4f}",
                route.champion[:12] if route else "-",
                self._canary(name),
                self._price(name),
            )
        rate = Text(f"{self._events_per_s():,.0f} events/s", style="bold")
        return Panel(Group(table, rate), title="Homeostat", border_style="blue")

    def _canary(self, model: str) -> str:
        route = self._follower.routes.get(model)
        if model in self._follower.open_runs:
            return "training"
        if route is None or not route.candidate:
            return "no canary"
        return f"canary {route.share:.0%}" if route.step else "shadow"

    def _price(self, model: str) -> str:
        measured = self._staleness.get(model)
        if measured is None or "price_errors" not in measured.numbers:
            return "-"
        numbers = measured.numbers
        return f"{max(numbers['lost_errors'], numbers['ahead_errors'], 0.0):.0f} / {numbers['price_errors']:.0f} errors"


def decision_line(seen: Seen) -> Text:
    """One decision in one line."""
    decision = seen.decision
    line = Text(f"row {seen.row:>6,}  {decision.model:<21} ")
    line.append(f"{decision.kind:<17}", style=_COLOURS.get(decision.kind, ""))
    line.append(f" {decision.why}")
    return line
