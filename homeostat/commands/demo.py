"""`demo`: the whole loop on a real stream, judged."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from config.settings import Settings, load
from homeostat.commands.options import RUN, Json
from homeostat.commands.output import FAILED, MISUSED, Failure, answer
from homeostat.readiness import NotReady

Keep = Annotated[Path | None, typer.Option("--keep", help="Keep the data directory here (it must be empty or new).")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Fixes the shuffle, the sizes of requests and the trainings.")]
Rows = Annotated[int | None, typer.Option("--rows", min=96, help="Stop after so many rows of each stream.", show_default="all")]
All = Annotated[
    bool,
    typer.Option("--all", help="Also a bad candidate, a data bug, and a world that comes back: what is refused and recalled."),
]
Report = Annotated[Path, typer.Option("--report", help="Where the page with the plots goes.")]

_OVERRIDES: Final[dict[str, object]] = {
    "serving_port": 0,
    "standby": False,
    "tick_ms": 100,
    # The challenger learns from lake files, and the sender waits for it.
    "lake_tick_ms": 100,
    # No arm is late, however slow the machine: the outcome does not depend on it.
    "shadow_wait_ms": 1_000.0,
    "deadline_ms": 1_000.0,
}


def demo(
    keep: Keep = None,
    seed: Seed = 0,
    rows: Rows = None,
    everything: All = False,
    report: Report = Path("report.html"),
    as_json: Json = False,
) -> None:
    """Watch a model go stale on real data and be healed, while a shuffled copy starts (almost) nothing."""
    from homeostat.demo.failed import DemoFailed

    console = Console(highlight=False, soft_wrap=True, stderr=as_json)
    directory = _directory(keep)
    settings = load(str(directory), environment={}, overrides={**_OVERRIDES, "seed": seed})
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        document, shortfalls = _run(settings, seed, rows, report, console, stop, everything=everything)
    except (DemoFailed, NotReady) as failure:
        raise Failure(f"the demo could not go on: {failure}; data and logs are in {directory}.") from failure
    if keep is None:
        shutil.rmtree(directory, ignore_errors=True)
    if as_json:
        answer(document)
    if shortfalls:
        raise typer.Exit(FAILED)


def _directory(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="homeostat-demo-"))
    if keep.exists() and any(keep.iterdir()):
        raise Failure(f"{keep} is not empty; give --keep a new directory.", MISUSED)
    return keep


def _run(
    settings: Settings,
    seed: int,
    rows: int | None,
    report: Path,
    console: Console,
    stop: threading.Event,
    *,
    everything: bool,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    from homeostat.demo.episodes.all_of_them import episodes
    from homeostat.demo.report import write_report
    from homeostat.demo.run import Demo
    from homeostat.demo.stream import streams
    from homeostat.supervisor import Supervisor

    started = time.monotonic()
    supervisor = Supervisor(settings, lambda text: console.print(text, markup=False))
    try:
        parts = streams(seed, rows)
        supervisor.start(stop)
        run = Demo(supervisor, parts, console, stop, episodes(seed) if everything else ()).run(seed, started)
    finally:
        supervisor.stop()
    write_report(report, run.stories(), run.results.document, run.results.gain, run.results.shortfalls)
    _tell(console, run.results.document, run.results.gain, run.results.shortfalls, report)
    return run.results.document, run.results.shortfalls


def _tell(console: Console, document: dict[str, Any], gain: Any, shortfalls: tuple[str, ...], report: Path) -> None:
    table = Table("", "", show_header=False, title="What the demo showed", title_justify="left")
    for name, value in document.items():
        table.add_row(
            name, "-" if value is None else f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        )
    if gain is not None:
        interval = f"{gain.mean:+.4f} (95 %: {gain.low:+.4f} to {gain.high:+.4f}, {gain.blocks} weeks)"
        table.add_row("served - frozen after the first promotion", interval)
    console.print(table)
    for sentence in shortfalls:
        console.print(f"not shown: {sentence}", style="red", markup=False)
    if not shortfalls:
        console.print("everything was shown", style="green")
    console.print(f"plots: {report.absolute()}", markup=False)


def add(app: typer.Typer) -> None:
    """Add this command."""
    app.command(rich_help_panel=RUN)(demo)
