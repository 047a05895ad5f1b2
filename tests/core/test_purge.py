"""What `down --purge` deletes, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import FILE_NAME
from homeostat.pid_file import NAME, AlreadyRunning, PidFile
from homeostat.purge import NotOurs, purge


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data directory with something in it."""
    root = tmp_path / "data"
    (root / "store" / "sha256").mkdir(parents=True)
    (root / "store" / "sha256" / "blob").write_text("x")
    (root / "lake-1").mkdir()
    (root / "secret.key").write_text("x")
    (root / FILE_NAME).write_text("")
    return root


def test_everything_goes_but_the_empty_pid_file(root: Path) -> None:
    purge(root)
    assert [path.name for path in root.iterdir()] == [NAME]
    assert (root / NAME).read_bytes() == b""


def test_a_directory_without_settings_is_not_ours(root: Path) -> None:
    (root / FILE_NAME).unlink()
    with pytest.raises(NotOurs, match="no data directory of Homeostat"):
        purge(root)
    assert (root / "secret.key").exists()


def test_a_project_with_such_a_settings_file_is_not_ours(tmp_path: Path) -> None:
    """Names as common as `logs` and `store` do not make it so: only what nobody else writes."""
    root = tmp_path / "project"
    (root / "logs").mkdir(parents=True)
    (root / "store").mkdir()
    (root / FILE_NAME).write_text("")
    with pytest.raises(NotOurs, match="nothing says that Homeostat ran there"):
        purge(root)
    assert {path.name for path in root.iterdir()} >= {"logs", "store", FILE_NAME}
    (root / "broker" / "data").mkdir(parents=True)
    (root / "broker" / "data" / "meta.properties").write_text("cluster.id=x")
    purge(root)
    assert [path.name for path in root.iterdir()] == [NAME]


@pytest.mark.parametrize("name", ["lake-", "lake-house", "lake-1-photos", "lake-1.zip"])
def test_only_a_numbered_lake_is_a_lake_set_aside(root: Path, name: str) -> None:
    (root / name).mkdir()
    with pytest.raises(NotOurs, match=name):
        purge(root)
    assert (root / "lake-1").exists()


def test_a_purge_that_was_killed_at_its_end_is_ended(root: Path) -> None:
    """All is gone but the settings."""
    purge(root)
    (root / FILE_NAME).write_text("")
    purge(root)
    assert [path.name for path in root.iterdir()] == [NAME]


def test_a_directory_with_foreign_files_is_left_alone(root: Path) -> None:
    (root / "thesis.docx").write_text("x")
    with pytest.raises(NotOurs, match=r"thesis\.docx"):
        purge(root)
    assert (root / "secret.key").exists()


def test_what_a_link_leads_to_stays(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (root / "lake").symlink_to(elsewhere)
    purge(root)
    assert (elsewhere / "file").exists()
    assert not (root / "lake").exists()


def test_while_somebody_runs_there_nothing_goes(root: Path) -> None:
    held = PidFile(root)
    held.acquire()
    with pytest.raises(AlreadyRunning):
        purge(root)
    held.release()
    assert (root / "secret.key").exists()
