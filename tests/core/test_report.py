"""The page at the end of the demo."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from homeostat.demo.follower import Seen
from homeostat.demo.report import ModelStory, page, write_report
from homeostat.demo.results import Interval
from streams.events import Decided

DOCUMENT: dict[str, Any] = {
    "healed": True,
    "trainings": 11,
    "challengers": 4,
    "promotions": 9,
    "null_trainings": 0,
    "null_challengers": 0,
    "rows_due_to_promoted": 288.0,
    "accuracy_served": 0.765,
    "accuracy_frozen": 0.742,
    "accuracy_clock": 0.76,
}
GAIN = Interval(mean=0.03, low=0.02, high=0.04, blocks=100)


def decided(kind: str, row: int, *, why: str = "because", numbers: dict[str, float] | None = None) -> Seen:
    decision = Decided(
        id=f"{kind}-{row}",
        at=datetime(2024, 1, 1, tzinfo=UTC),
        model="electricity",
        kind=kind,
        why=why,
        numbers=numbers or {},
        release="ab" * 32,
        cause="c",
        partition=0,
        offset=row,
        core="1",
    )
    return Seen(decision=decision, row=row, wall_s=0.0)


STORY = ModelStory(
    model="electricity",
    first_row=4_531,
    lines={"served": np.ones(960), "frozen": np.zeros(960), "by the clock": np.full(960, 0.5)},
    seen=[
        decided("StalenessMeasured", 4_608, numbers={"lost_errors": 12.0, "ahead_errors": -3.0, "price_errors": 40.0}),
        decided("TrainingStarted", 4_704),
        decided("EvidenceNoted", 4_752),
        decided("Promoted", 4_800, why="no worse </script><script>alert(1)</script>"),
    ],
)


def data_in(text: str) -> list[dict[str, Any]]:
    found = re.search(r"const stories = (\[.*?\]);\n", text)
    assert found is not None
    stories: list[dict[str, Any]] = json.loads(found[1].replace("<\\/", "</"))
    return stories


def test_the_page_has_every_line_the_staleness_and_the_marked_decisions() -> None:
    (story,) = data_in(page([STORY], DOCUMENT, GAIN, []))
    assert {line["name"]: line["y"][-1] for line in story["lines"]} == {"served": 1.0, "frozen": 0.0, "by the clock": 0.5}
    assert story["lines"][0]["x"][0] == "1996-08-11 09:30"
    assert [mark["kind"] for mark in story["marks"]] == ["training", "promotion"]
    assert story["staleness"]["lost"] == [12.0]
    assert story["staleness"]["ahead"] == [0.0]
    assert story["staleness"]["price"] == [40.0]


def test_the_page_loads_nothing_from_anywhere() -> None:
    text = page([STORY], DOCUMENT, GAIN, [])
    own = text.replace(text[text.index("<script>") : text.index("const stories")], "")
    assert "Plotly.newPlot" in text
    assert len(text) > 1_000_000, "plotly.js is in it"
    assert not re.search(r"<(script|img|iframe)[^>]*\ssrc=|<link\b|@import|url\(", own)
    assert "://" not in own
    assert not re.search(r"<script[^>]*\ssrc=", text)


def test_what_the_log_says_cannot_end_the_script() -> None:
    text = page([STORY], DOCUMENT, GAIN, [])
    assert "</script><script>alert(1)" not in text
    assert data_in(text)[0]["marks"][1]["why"].startswith("no worse </script>")


def test_the_page_says_what_was_not_shown() -> None:
    text = page([STORY], DOCUMENT, None, ["9 rows were answered & not counted"])
    assert "9 rows were answered &amp; not counted" in text
    assert "not everything was shown" in text


def test_the_table_has_every_result() -> None:
    text = page([STORY], DOCUMENT, GAIN, [])
    for name in DOCUMENT:
        assert f"<th>{name}</th>" in text


def test_the_page_is_one_file_written_whole(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", [STORY], DOCUMENT, GAIN, [])
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
