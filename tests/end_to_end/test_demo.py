"""The demo, shortened: every part of it runs, everything sent is found, and it does not claim what it did not show."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROWS = 960
"""Ten periods: the loop measures, but there is nothing to heal yet."""
KEYS = {
    "healed",
    "trainings",
    "promotions",
    "rollbacks",
    "null_trainings",
    "null_allowed",
    "null_promotions",
    "rows_due_to_promoted",
    "accuracy_served",
    "accuracy_frozen",
    "accuracy_clock",
    "events_sent",
    "events_accounted",
    "seed",
    "seconds",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortDemo:
    """What one short run left."""

    status: int
    document: dict[str, Any]
    said: str
    kept: Path
    report: str


@pytest.fixture(scope="module")
def short_demo(tmp_path_factory: pytest.TempPathFactory) -> ShortDemo:
    """`homeostat demo --rows 960 --keep ... --json`."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "homeostat.cli", "demo", "--rows", str(ROWS), "--seed", "3", "--json"]
    command += ["--keep", str(folder / "kept"), "--report", str(folder / "report.html")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout, ended.stderr
    return ShortDemo(
        status=ended.returncode,
        document=json.loads(ended.stdout.strip().splitlines()[-1]),
        said=ended.stderr,
        kept=folder / "kept",
        report=(folder / "report.html").read_text(),
    )


def test_the_last_line_is_one_object_with_every_key(short_demo: ShortDemo) -> None:
    assert set(short_demo.document) == KEYS
    assert short_demo.document["seed"] == 3


def test_every_event_sent_is_found_by_its_id(short_demo: ShortDemo) -> None:
    """Two streams, each row answered once and labelled once."""
    assert short_demo.document["events_sent"] == 2 * 2 * ROWS
    assert short_demo.document["events_accounted"] == short_demo.document["events_sent"]


def test_what_a_short_run_cannot_show_is_said_and_the_status_is_not_zero(short_demo: ShortDemo) -> None:
    assert short_demo.document["healed"] is False
    assert short_demo.status == 1
    assert "not shown: " in short_demo.said


def test_before_anything_was_promoted_the_first_release_serves(short_demo: ShortDemo) -> None:
    assert short_demo.document["promotions"] == 0
    assert short_demo.document["accuracy_served"] == short_demo.document["accuracy_frozen"] > 0.5


def test_what_is_kept_can_be_looked_at(short_demo: ShortDemo) -> None:
    assert list((short_demo.kept / "lake").rglob("*.parquet"))
    assert (short_demo.kept / "logs" / "supervisor.log").exists()


def test_the_report_has_both_models(short_demo: ShortDemo) -> None:
    assert '"model": "electricity"' in short_demo.report
    assert '"model": "electricity-shuffled"' in short_demo.report
