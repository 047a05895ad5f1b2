"""Where settings come from, and how wrong ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import FILE_NAME, ConfigurationError, load, load_chosen, write


def test_an_empty_directory_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(str(tmp_path), environment={})
    assert settings.serving_port == 8080
    assert settings.root == tmp_path


def test_a_variable_beats_the_file_and_the_command_line_beats_both(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("seed = 1\ntick_ms = 50\nlake_tick_ms = 500\n")
    environment = {"HOMEOSTAT_SEED": "2", "HOMEOSTAT_TICK_MS": "100", "PATH": "/bin"}
    settings = load(str(tmp_path), environment=environment, overrides={"tick_ms": 250})
    assert (settings.seed, settings.tick_ms, settings.lake_tick_ms) == (2, 250, 500)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    settings = load(str(tmp_path / "new"), environment={}, overrides={"monitor_port": 4_242, "shadow_wait_ms": 2.5})
    write(settings)
    assert load(str(tmp_path / "new"), environment={}) == settings


def test_a_directory_that_was_moved_is_read_where_it_is(tmp_path: Path) -> None:
    write(load(str(tmp_path / "old"), environment={}))
    (tmp_path / "old").rename(tmp_path / "new")
    assert load(str(tmp_path / "new"), environment={}).root == tmp_path / "new"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tick = 5", "unknown setting tick; valid are: agents_port, "),
        ("seed = 'seven'", "a setting has the wrong type"),
        ("tick_ms = 7\nlake_tick_ms = 60_000", "lake_tick_ms must be a multiple of tick_ms, got 60000 and 7"),
        ("tick_ms = 0", "lake_tick_ms must be a multiple of tick_ms"),
        ("seed = ", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_valid(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ConfigurationError) as refusal:
        load(str(tmp_path), environment={})
    assert said in str(refusal.value)


def test_an_unknown_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="unknown setting sead"):
        load(str(tmp_path), environment={"HOMEOSTAT_SEAD": "1"})


def test_a_port_that_a_supervisor_chose_beats_any_port(tmp_path: Path) -> None:
    """To whoever asks what runs there; to the one who starts it, 0 is still any port."""
    write(load(str(tmp_path), environment={}, overrides={"serving_port": 4_242, "broker_port": 4_243}))
    environment = {"HOMEOSTAT_SERVING_PORT": "0", "HOMEOSTAT_BROKER_PORT": "0", "HOMEOSTAT_SEED": "0"}
    chosen = load_chosen(str(tmp_path), environment)
    assert (chosen.serving_port, chosen.broker_port) == (4_242, 4_243)
    assert load(str(tmp_path), environment).serving_port == 0
    assert load_chosen(str(tmp_path), {"HOMEOSTAT_SERVING_PORT": "4300"}).serving_port == 4_300
    assert load_chosen(str(tmp_path / "new"), environment).serving_port == 0


def test_another_cluster_has_no_broker_of_ours(tmp_path: Path) -> None:
    write(load(str(tmp_path), environment={}, overrides={"broker_port": 4_243}))
    environment = {"HOMEOSTAT_BOOTSTRAP_SERVERS": "kafka:9092", "HOMEOSTAT_BROKER_PORT": "0"}
    assert not load_chosen(str(tmp_path), environment).embedded
