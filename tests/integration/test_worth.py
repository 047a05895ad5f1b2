"""`worth` on a real log, and what `register` tells of noise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from homeostat import cli
from homeostat.challenger_ring import LossRing, RowLosses, extended
from homeostat.challenger_state import ChallengerState, path_of, write_state
from homeostat.registration import NOISE, noise_told
from streams.adapters.store import DirectoryStore
from streams.events import PolicySet
from streams.policy import ChallengerPolicy
from streams.release import encode
from tests.core.control_log import EVENT_T0, PERIOD, POLICY, evidence, finished, losses
from tests.core.trainer_rows import row
from tests.integration.command_desk import CommandDesk, with_control
from tests.integration.test_commands_look import CARD

OWN = msgspec.structs.replace(POLICY, challenger=ChallengerPolicy(enabled=False))
ROWS = 4_000


@pytest.fixture(scope="module")
def desk(broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandDesk]:  # type: ignore[no-untyped-def]  # conftest's
    with with_control(broker.bootstrap_servers, tmp_path_factory.mktemp("worth")) as desk:
        yield desk


@pytest.fixture(scope="module")
def healed(desk: CommandDesk) -> str:
    """A model that got stale, for which a training was bought, whose release serves and is watched beside the first."""
    model = desk.register(OWN)
    first = desk.route(model).champion
    desk.tell(*(losses(period, 20 if period < 30 else 45, release=first, model=model) for period in range(1, 50)))
    desk.wait_for_kind(model, "TrainingStarted")
    run = next(one.run for one in desk.decisions(model) if one.kind == "TrainingStarted")
    release = desk.release(model, 1)
    card = desk.store.put(
        encode(msgspec.structs.replace(CARD, metrics={"regret_bound_errors": 12.0, "regret_bound_periods": 8.0}))
    )
    desk.tell(msgspec.structs.replace(finished(run, release, model=model), card=card))
    desk.wait_for_kind(model, "ShadowStarted")
    desk.promote(model)
    desk.tell(evidence(desk.route(model), 100, better=2, worse=12, arm="control", model=model))
    desk.tell(*(losses(period, 20, release=release, model=model) for period in range(50, 55)))
    desk.wait_for_kind(model, "StalenessMeasured", 54)
    return model


def keep_ring(desk: CommandDesk, model: str) -> None:
    """Forty periods of a hundred rows; in the second half the champion is worse, the challenger is not."""
    generator = np.random.default_rng(3)
    rate = np.repeat([0.2, 0.4], ROWS // 2)
    scored = RowLosses(
        at_us=(int(EVENT_T0.timestamp() * 1e6) + np.arange(ROWS) * (PERIOD // timedelta(microseconds=1)) // 100).astype(np.int64),
        release=("first",) * ROWS,
        champion=(generator.random(ROWS) < rate).astype(np.float64),
        challenger=(generator.random(ROWS) < 0.22).astype(np.float64),
    )
    state = ChallengerState(model=model, contract="c", challenger=b"", ring=extended(LossRing(), scored))
    write_state(path_of(desk.settings.root, model), state)


def test_what_is_known_of_a_healed_model(desk: CommandDesk, healed: str) -> None:
    document = desk.asked("worth", healed)
    assert document["price"] == {"written": "40 errors", "errors": 40.0, "money": None, "currency": ""}
    assert document["period_s"] == 3_600.0
    assert document["usual"]["rows"] == 100.0
    assert document["trainings"]["bought"] >= 1
    assert document["trainings"]["run"] == 1
    assert document["borne"]["champion_periods"] == 5
    assert document["borne"]["registration_errors"] > document["borne"]["champion_errors"]
    assert (document["won"]["gain"], document["won"]["rows"], document["won"]["rows_since"]) == (0.1, 100, 500.0)
    assert document["regret_bound"] == {"regret_bound_errors": 12.0, "regret_bound_periods": 8.0}
    assert document["noise"] is None
    assert "the lake has no labelled row of it yet" in document["missing"]["noise"]
    assert document["trade"] == []
    assert document["advice"].startswith("A training must win 40 errors; at ")


def test_a_person_reads_it_at_80_columns(desk: CommandDesk, healed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables keep within; the sentences below them are whole lines, for the terminal to break."""
    monkeypatch.setenv("COLUMNS", "80")
    policy = msgspec.structs.replace(OWN, challenger=ChallengerPolicy())
    record = PolicySet(id=f"{healed}-p", at=EVENT_T0, model=healed, actor="ada", reason="a challenger", policy=policy)
    desk.tell(record)
    desk.wait_for_kind(healed, "PolicyChanged")
    keep_ring(desk, healed)
    said = desk.run("worth", healed)
    assert said.status == 0, said
    framed = [line for line in said.out.splitlines() if line.startswith(tuple("┏┃┡│└"))]
    assert framed
    assert max(map(len, framed)) <= 80
    for part in (
        "What a training of",
        "Both sides of noise_trainings",
        "A training must win 40 errors",
        "losses of champion and",
    ):
        assert part in said.out, said.out
    document = desk.asked("worth", healed)
    assert document["usual"]["periods"] == 30  # another policy with the same periods: history goes on
    assert (document["noise"]["rows"], document["noise"]["rows_a_period"]) == (ROWS, 100)
    assert [one["noise_trainings"] for one in document["trade"]] == [1.0, 3.0, 10.0, 30.0, 100.0]
    assert document["trade"][0]["in_order"]["bought"] == 1
    assert document["trade"][0]["noise"]["per_1000_periods"] <= document["trade"][-1]["noise"]["per_1000_periods"]


def test_a_new_model_says_what_is_missing(desk: CommandDesk) -> None:
    document = desk.asked("worth", desk.register())
    assert {"usual", "trainings", "borne", "won", "regret_bound", "noise"} <= document["missing"].keys()
    said = desk.run("worth", document["model"])
    assert said.out.count("not known") >= 6
    assert desk.run("worth", "nobody").status == 1


def test_other_periods_begin_another_history(desk: CommandDesk) -> None:
    """Staleness borne stays; how often trainings come is told of periods as long as now."""
    model = desk.register(OWN)
    first = desk.route(model).champion
    desk.tell(*(losses(period, 20, release=first, model=model) for period in range(1, 6)))
    longer = msgspec.structs.replace(OWN, staleness=msgspec.structs.replace(OWN.staleness, period=2 * PERIOD))
    desk.tell(PolicySet(id=f"{model}-p", at=EVENT_T0, model=model, actor="ada", reason="longer", policy=longer))
    desk.wait_for_kind(model, "PolicyChanged")
    document = desk.asked("worth", model)
    assert (document["usual"], document["trainings"], document["period_s"]) == (None, None, 7_200.0)
    assert document["borne"]["registration_periods"] == 5


def test_register_tells_what_noise_would_buy(
    desk: CommandDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the rows a period has; without, it says why not. Serving's word is another test's."""
    monkeypatch.setattr("homeostat.commands.training.confirmed", lambda *_: {"generation": 1})
    content = [row(number, seed=1) for number in range(800)]
    table = tmp_path / "table.csv"
    table.write_text("x,y\n" + "".join(f"{features['x']},{label}\n" for features, label in content))
    asked = ("--data", str(table), "--target", "y", "--home", desk.settings.data)
    name = f"noise-{desk.settings.control_port}"
    assert cli.run(["register", name, *asked, "--rows-a-period", "20"]) == 0
    assert "noise alone would buy" in capsys.readouterr().out
    desk.wait_for_kind(name, "Registered")
    (registered,) = desk.decisions(name)
    told, _ = noise_told(DirectoryStore(desk.settings.store), registered.release)
    assert told is not None
    assert cli.run(["register", f"{name}-2", *asked, "--json"]) == 0
    assert f'"{NOISE}": null' in (said := capsys.readouterr().out)
    assert "say with --rows-a-period" in said
