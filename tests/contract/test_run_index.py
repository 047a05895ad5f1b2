"""One stage of a run has one result for good, whoever asks and however many race."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from streams.events import RecallFinished, TrainingFinished
from tests.core.trainer_rows import minute
from tests.core.training_shop import MemoryResults
from trainer.adapters.run_index import RunIndex
from trainer.workshop import Results


def result(run: str, release: str = "r") -> TrainingFinished:
    """A result that differs by its release."""
    return TrainingFinished(
        id="i", at=minute(1), model="m", actor="trainer", reason="", run=run, release=release, passed=True, card="c", dataset="d",
        rows=1, seconds=0.5, numbers={"a": 1.0},
    )  # fmt: skip


@pytest.fixture(params=["directory", "memory"])
def results(request: pytest.FixtureRequest, tmp_path: Path) -> Results:
    """Each implementation in turn."""
    return RunIndex(tmp_path / "runs") if request.param == "directory" else MemoryResults()


def test_a_run_without_a_result_has_none(results: Results) -> None:
    """So that it is carried out."""
    assert results.find("a", TrainingFinished) is None


def test_the_first_result_counts(results: Results) -> None:
    """A second one, equal or not, is answered with it."""
    assert results.keep(result("a", "first")) == result("a", "first")
    assert results.keep(result("a", "second")) == result("a", "first")
    assert results.find("a", TrainingFinished) == result("a", "first")


def recalled(run: str, release: str) -> RecallFinished:
    """The answer of the stage before."""
    return RecallFinished(id="i", at=minute(1), model="m", actor="trainer", reason="", run=run, attempt=1, release=release)


def test_a_recall_and_the_training_after_it_do_not_answer_for_each_other(results: Results) -> None:
    """One run, two results."""
    assert results.keep(recalled("a", "")) == recalled("a", "")
    assert results.find("a", TrainingFinished) is None
    assert results.keep(result("a")) == result("a")
    assert results.keep(recalled("a", "late")) == recalled("a", "")
    assert results.find("a", RecallFinished) == recalled("a", "")
    assert results.find("a", TrainingFinished) == result("a")


def test_one_of_many_that_race_wins(tmp_path: Path) -> None:
    """All are told the same one, and no temporary file stays."""
    index, told, gate = RunIndex(tmp_path), [], threading.Barrier(8)

    def keep(number: int) -> None:
        gate.wait(10)
        told.append(index.keep(result("a", str(number))))

    threads = [threading.Thread(target=keep, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(told) == 8
    assert {msgspec.json.encode(one) for one in told} == {msgspec.json.encode(index.find("a", TrainingFinished))}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("run", ["", "../x", "a/b", ".a", "x" * 129])
def test_only_plain_ids_become_file_names(tmp_path: Path, run: str) -> None:
    """No id leads out of the directory."""
    with pytest.raises(ValueError, match="is not made of letters"):
        RunIndex(tmp_path).find(run, TrainingFinished)
