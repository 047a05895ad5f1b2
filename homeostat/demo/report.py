"""The page at the end: what happened over time, on one HTML file that needs nothing else."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import numpy as np

from homeostat.demo.calendar import row_at
from homeostat.demo.follower import Seen
from homeostat.demo.results import Hits, Interval

ROLLING_ROWS: Final = 1_344
"""Four weeks: shorter, and the noise of autocorrelated labels hides what matters."""
POINT_EVERY_ROWS: Final = 96

MARKED: Final = {
    "TrainingStarted": "training",
    "ShadowStarted": "shadow",
    "StepTaken": "canary step",
    "Promoted": "promotion",
    "CandidateRejected": "rejected",
    "RolledBack": "rolled back",
    "GateOverridden": "override",
    "IncidentOpened": "data bug called",
    "IncidentClosed": "feed well again",
    "Recalled": "recalled",
    "ChallengerFrozen": "challenger frozen",
}
"""Decisions that the plots mark, with what the legend calls them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStory:
    """What one model's plots are drawn from; row 0 of every line is `first_row` of the stream."""

    model: str
    first_row: int
    lines: Mapping[str, Hits]
    """Per line of the accuracy plot 1 where it was right."""
    seen: Sequence[Seen]
    rolling_rows: int = ROLLING_ROWS
    about: str = ""


def write_report(
    path: Path, stories: Sequence[ModelStory], document: Mapping[str, Any], gain: Interval | None, shortfalls: Sequence[str]
) -> None:
    """Write the page, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    unfinished.write_text(page(stories, document, gain, shortfalls), encoding="utf-8")
    unfinished.replace(path)


def page(stories: Sequence[ModelStory], document: Mapping[str, Any], gain: Interval | None, shortfalls: Sequence[str]) -> str:
    """The HTML. plotly.js is written into it: nothing is loaded from anywhere."""
    from plotly.offline import get_plotlyjs

    template = files("homeostat.demo").joinpath("report.html.template").read_text(encoding="utf-8")
    content = {
        "TITLE": "Homeostat healed it" if not shortfalls else "Homeostat: not everything was shown",
        "VERDICT": _verdict(document, gain, shortfalls),
        "TILES": _tiles(document),
        "TABLE": _table(document, gain),
        "DATA": json.dumps([story_data(story) for story in stories]).replace("</", "<\\/"),
        "PLOTLY": get_plotlyjs(),
    }
    for name, text in content.items():
        template = template.replace(f"@@{name}@@", text)
    return template


def story_data(story: ModelStory) -> dict[str, Any]:
    """The series of one model's plots."""
    marks = [seen for seen in story.seen if seen.decision.model == story.model and seen.decision.kind in MARKED]
    measured = [
        seen
        for seen in story.seen
        if seen.decision.model == story.model
        and seen.decision.kind == "StalenessMeasured"
        and "price_errors" in seen.decision.numbers
    ]
    return {
        "model": story.model,
        "about": story.about,
        "rolling_rows": story.rolling_rows,
        "lines": [{"name": name, **rolling(hits, story.first_row, story.rolling_rows)} for name, hits in story.lines.items()],
        "marks": [
            {
                "kind": MARKED[seen.decision.kind],
                "x": _time(seen.row),
                "why": seen.decision.why,
                "release": seen.decision.release[:12],
            }
            for seen in marks
        ],
        "staleness": {
            "x": [_time(seen.row) for seen in measured],
            "lost": [_errors(seen, "lost_errors") for seen in measured],
            "ahead": [_errors(seen, "ahead_errors") for seen in measured],
            "price": [_errors(seen, "price_errors") for seen in measured],
        },
    }


def rolling(hits: Hits, first_row: int, rows: int = ROLLING_ROWS) -> dict[str, list[Any]]:
    """Accuracy over the `rows` before each point (fewer at the start), a point every POINT_EVERY_ROWS.

    >>> rolling(np.ones(200), 0)["y"]
    [1.0, 1.0]
    """
    sums = np.concatenate(([0.0], np.cumsum(hits)))
    ends = np.arange(POINT_EVERY_ROWS, len(hits) + 1, POINT_EVERY_ROWS)
    starts = np.maximum(ends - rows, 0)
    return {
        "x": [_time(first_row + int(end)) for end in ends],
        "y": [round(float(value), 5) for value in (sums[ends] - sums[starts]) / np.maximum(ends - starts, 1)],
    }


def _errors(seen: Seen, name: str) -> float:
    return round(max(0.0, seen.decision.numbers[name]), 2)


def _time(row: int) -> str:
    return row_at(row).strftime("%Y-%m-%d %H:%M")


def _verdict(document: Mapping[str, Any], gain: Interval | None, shortfalls: Sequence[str]) -> str:
    if shortfalls:
        items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in shortfalls)
        return f'<p class="bad">Not shown:</p><ul class="bad">{items}</ul>'
    assert gain is not None
    return (
        f'<p class="good">After its first promotion the model that was healed answered {gain.mean:+.1%} of rows better than the '
        f"frozen one (95&nbsp;% interval {gain.low:+.1%} to {gain.high:+.1%}, {gain.blocks} weeks), with {document['trainings']} "
        f"trainings and {document['challengers']} frozen challengers; the shuffled copy, where nothing changes, got "
        f"{document['null_trainings']} and {document['null_challengers']}.</p>"
    )


_TILES: Final = (
    ("accuracy_served", "accuracy served"),
    ("accuracy_frozen", "frozen first model"),
    ("accuracy_clock", "by the clock, a training for each candidate"),
    ("trainings", "trainings"),
    ("challengers", "challengers let in instead"),
    ("promotions", "promotions"),
    ("null_trainings", "trainings on the shuffled copy"),
    ("rows_due_to_promoted", "rows from due to promoted (median)"),
)


def _tiles(document: Mapping[str, Any]) -> str:
    return "".join(
        f'<div class="tile"><b>{html.escape(_text(document[name]))}</b><span>{html.escape(label)}</span></div>'
        for name, label in _TILES
    )


def _table(document: Mapping[str, Any], gain: Interval | None) -> str:
    rows = {name: _text(value) for name, value in document.items()}
    if gain is not None:
        rows["served - frozen after the first promotion"] = f"{gain.mean:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    return "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
