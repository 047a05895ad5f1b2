"""The demo, shortened: the loop heals once on real parts, everything sent is found, and nothing is claimed that was not shown."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from homeostat.demo.episodes import bad_candidate, data_bug, recurring

ROWS = 3_648
"""Twenty periods: enough to go stale once and be healed, not enough to prove a gain by weeks."""
KEYS = {
    "healed",
    "trainings",
    "promotions",
    "rollbacks",
    "challengers",
    "null_challengers",
    "null_trainings",
    "null_allowed",
    "null_promotions",
    "recalls",
    "false_incidents",
    "bad_candidate_stopped",
    "bad_candidate_live_requests",
    "identical_promoted",
    "world_change_rolled_back",
    "data_bug_trained",
    "control_trained",
    "data_bugs_called",
    "rows_quarantined",
    "recalled",
    "trained_after_return",
    "rows_due_to_promoted",
    "accuracy_served",
    "accuracy_frozen",
    "accuracy_clock",
    "events_sent",
    "events_accounted",
    "seed",
    "seconds",
}

pytestmark = pytest.mark.timeout(600)


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
    """`homeostat demo --all --rows 3648 --keep ... --json`."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "homeostat.cli", "demo", "--rows", str(ROWS), "--seed", "3", "--all", "--json"]
    command += ["--keep", str(folder / "kept"), "--report", str(folder / "report.html")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=570, check=False)
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
    """Two streams and four of the episodes, each row answered once and labelled once."""
    assert short_demo.document["events_sent"] == 2 * (2 * ROWS + bad_candidate.ROWS + 2 * data_bug.ROWS + recurring.ROWS)
    assert short_demo.document["events_accounted"] == short_demo.document["events_sent"]


def test_what_a_short_run_cannot_show_is_said_and_the_status_is_not_zero(short_demo: ShortDemo) -> None:
    assert short_demo.document["healed"] is False
    assert short_demo.status == 1
    assert "not shown: " in short_demo.said


def test_the_model_goes_stale_and_is_healed_by_itself(short_demo: ShortDemo) -> None:
    """Bought, trained on Ray, tried in shadow and on live requests, promoted; the null starts nothing."""
    assert short_demo.document["trainings"] >= 1
    assert short_demo.document["promotions"] >= 1
    assert short_demo.document["null_trainings"] == 0
    for kind in ("TrainingBought", "ShadowStarted", "StepTaken", "Promoted"):
        assert kind in short_demo.said


def test_a_bad_candidate_leaves_by_the_live_metrics_and_an_identical_one_goes_through(short_demo: ShortDemo) -> None:
    """Forced past gate and shadow it really answered rows; a world that changed for both releases took nothing back."""
    assert short_demo.document["bad_candidate_live_requests"] > 0
    assert short_demo.document["bad_candidate_stopped"] is True
    assert short_demo.document["identical_promoted"] is True
    assert short_demo.document["world_change_rolled_back"] == 0


def test_a_data_bug_is_called_and_not_trained_on(short_demo: ShortDemo) -> None:
    """With the triage off, the same rows buy a training; on streams whose data is well nothing is called."""
    assert short_demo.document["data_bugs_called"] == len(data_bug.CALLED)
    assert short_demo.document["data_bug_trained"] == 0
    assert short_demo.document["control_trained"] >= 1
    assert short_demo.document["false_incidents"] == 0


def test_a_world_that_comes_back_needs_no_training(short_demo: ShortDemo) -> None:
    """The release that served in it before is recalled, and promoted on live traffic."""
    assert short_demo.document["recalled"] >= 1
    assert short_demo.document["trained_after_return"] == 0


def test_its_log_replays_in_a_fresh_process_to_the_same_decisions(short_demo: ShortDemo) -> None:
    """The kept directory is brought up again, and every decision recomputed from the log alone."""
    kept = str(short_demo.kept)
    assert _homeostat("up", "--data", kept, "--port", "0", "--detach").returncode == 0
    try:
        replayed = _homeostat("replay", "--data", kept, "--json")
    finally:
        _homeostat("down", "--data", kept)
    assert replayed.returncode == 0, replayed.stderr
    document = json.loads(replayed.stdout.strip().splitlines()[-1])
    assert document["decisions"] > 30
    assert not document["differing"]


def _homeostat(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "homeostat.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def test_what_is_kept_can_be_looked_at(short_demo: ShortDemo) -> None:
    assert list((short_demo.kept / "lake").rglob("*.parquet"))
    assert (short_demo.kept / "logs" / "supervisor.log").exists()


def test_the_report_has_both_models(short_demo: ShortDemo) -> None:
    assert '"model": "electricity"' in short_demo.report
    assert '"model": "electricity-shuffled"' in short_demo.report
