"""Commands that look, set policies and send dead letters again, with a real controller; each with its refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from homeostat.commands.policies import apply_files
from homeostat.mirror import Mirror
from homeostat.policy_directory import load_policies
from streams import topics
from streams.codec import encode_json
from streams.dead_letter import KEPT_PAYLOAD_BYTES, dead_letter
from streams.events import Pause, Restored
from streams.ports import Message
from streams.release import encode
from tests.core.control_log import EVENT_T0, POLICY, ControlLog, finished, registered, retrain
from tests.integration.command_desk import CommandDesk, with_control
from trainer.runcard import Environment, RunCard

CARD = RunCard(
    title="a training", run="r", attempt=1, model="m", environment=Environment(), commit="", step="training", command="",
    interpolated_command="homeostat retrain m --reason x", inputs={}, outputs={}, parameters={"eta": 0.1}, seeds={}, created=None,
    executor="ray", duration_s=1.5, phases_s={}, resources={}, price=40.0, tags={}, metrics={"gate_difference": -0.01}, parent="",
    cause="req",
)  # fmt: skip


@pytest.fixture(scope="module")
def desk(broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandDesk]:  # type: ignore[no-untyped-def]  # conftest's
    with with_control(broker.bootstrap_servers, tmp_path_factory.mktemp("look")) as desk:
        yield desk


@pytest.fixture(scope="module")
def healed(desk: CommandDesk) -> str:
    """A model whose second release serves."""
    model = desk.register()
    desk.train(model)
    desk.promote(model)
    return model


# --- models, history, runs, explain ----------------------------------------------------------------------------------


def test_a_model_is_one_row(desk: CommandDesk, healed: str) -> None:
    row = next(row for row in desk.asked("models")["models"] if row["model"] == healed)
    first = desk.decisions(healed)[0].release
    assert row["champion"] == desk.route(healed).champion != first
    assert (row["control"], row["paused"], row["approvals"], row["incidents"]) == (first, False, [], 0)
    assert (row["autonomy"], row["last_heal"]["kind"]) == ("auto", "Promoted")
    assert row["since"] == row["last_heal"]["at"]
    assert healed in desk.run("models").out


def test_history_is_what_served_and_by_whom(desk: CommandDesk, healed: str) -> None:
    served = desk.asked("history", healed)["served"]
    assert [(row["kind"], row["actor"]) for row in served] == [("Registered", "test"), ("Promoted", "agents")]
    assert served[0]["until"] == served[1]["since"]
    assert "serves" in desk.run("history", healed).out
    every = desk.asked("history", healed, "--all")["decisions"]
    assert [decision["id"] for decision in every] == [decision.id for decision in desk.decisions(healed)]
    assert desk.run("history", "nobody").status == 1


def test_history_goes_on_behind_a_restore(desk: CommandDesk) -> None:
    """What the mirror kept of the log before comes first, with its own decisions on the same places."""
    model = f"restored-{desk.settings.control_port}"
    before = ControlLog(model)
    before.tell(msgspec.structs.replace(registered(model), release=desk.release(model)))
    kept = before.state.models[model]
    mirror = Mirror(desk.settings.mirror)
    mirror.keep(kept, partition=before.partition, offset=before.state.offset, decisions=before.decisions)
    desk.tell(
        Restored(
            id=f"{model}-restored",
            at=EVENT_T0,
            model=model,
            actor="person:ada",
            reason="the disk is gone",
            incarnation=2,
            state=msgspec.msgpack.encode(kept),
        )
    )
    desk.wait_for_kind(model, "Restored")
    every = desk.asked("history", model, "--all")["decisions"]
    assert [decision["kind"] for decision in every] == ["Registered", "Restored"]
    assert [row["kind"] for row in desk.asked("history", model)["served"]] == ["Registered"]
    assert desk.asked("policy", "show", model)["policy"]["canary"]["margin"] == POLICY.canary.margin
    explained = desk.asked("explain", every[1]["id"])
    assert explained["chain"][0]["record"]["actor"] == "person:ada"


def test_a_run_is_shown_with_order_result_card_and_outcome(desk: CommandDesk) -> None:
    model = desk.register()
    desk.tell(retrain(f"req-{model}", model=model))
    desk.wait_for_kind(model, "TrainingStarted")
    order = desk.decisions(model)[-1].order
    assert order is not None
    card = desk.store.put(encode(CARD))
    record = finished(order.run, desk.release(model, 1), model=model)
    desk.tell(msgspec.structs.replace(record, card=card, numbers={"holdout_loss": 0.2}))
    desk.wait_for_kind(model, "ShadowStarted")
    desk.promote(model)
    assert [run["state"] for run in desk.asked("runs", model)["runs"]] == ["serves, watched"]
    document = desk.asked("runs", "show", order.run[:8])
    assert document["order"]["seed"] == order.seed
    assert document["result"]["numbers"] == {"holdout_loss": 0.2}
    assert document["card"]["metrics"] == {"gate_difference": -0.01}
    assert [decision["kind"] for decision in document["decisions"]][-1] == "Promoted"
    assert document["worth"] == {"gain_per_row": 0.032, "rows": 500.0, "until": "Promoted"}
    said = desk.run("runs", "show", order.run[:8]).out
    assert "gate_difference -0.01" in said
    assert "lost 0.032 less a row" in said
    assert not re.search("[0-9a-f]{64}", said)  # a person gets 12 characters of a digest


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("runs", "nobody"), 1, "no model 'nobody'"),
        (("runs", "show", "ffffffff"), 2, "no run begins with"),
        (("runs", "nobody", "extra"), 2, "a model, or `show`"),
        (("explain", "abc"), 2, "too short to name a decision"),
        (("explain", "zzzzzzzz"), 2, "homeostat history MODEL --all"),
        (("policy", "show", "nobody"), 1, "no model 'nobody'"),
        (("deadletters", "show", "--topic", "mail"), 2, "they come from: predictions, labels"),
        (("deadletters", "replay"), 2, "--all"),
        (("deadletters", "replay", "ffffffff"), 2, "no dead letter begins with"),
        (("logs", "cook"), 2, "supervisor, broker, trainer, control"),
        (("logs", "monitor"), 1, "has not run"),
        (("logs", "monitor", "--follow", "--json"), 2, "--follow"),
    ],
)
def test_what_cannot_be_shown_is_said(desk: CommandDesk, arguments: tuple[str, ...], status: int, words: str) -> None:
    said = desk.run(*arguments)
    assert (said.status, words in said.err) == (status, True), said


def test_a_decision_is_explained_back_to_its_root(desk: CommandDesk, healed: str) -> None:
    """Read from the log itself: evidence, shadow, gate, run, and the person who asked for it."""
    promoted = desk.decisions(healed)[-1]
    document = desk.asked("explain", promoted.id[:8])
    assert [link["decision"]["kind"] for link in document["chain"]] == [
        "Promoted", "StepTaken", "StepTaken", "ShadowStarted", "TrainingStarted",
    ]  # fmt: skip
    assert document["chain"][0]["record"]["n"] == 100
    assert document["chain"][-1]["record"]["actor"] == "ada"
    said = desk.run("explain", promoted.id).out
    assert "on RetrainRequested by ada" in said
    assert said.index("Promoted") < said.index("because of ShadowStarted") < said.index("on RetrainRequested")
    started = next(decision for decision in desk.decisions(healed) if decision.kind == "TrainingStarted")
    assert desk.asked("explain", started.id)["followed"][-1]["kind"] == "Promoted"


# --- policies --------------------------------------------------------------------------------------------------------


def test_a_policy_is_set_shown_and_kept_as_a_file(desk: CommandDesk, tmp_path: Path) -> None:
    model = desk.register()
    file = tmp_path / "p.toml"
    file.write_text('autonomy = "approve" # ask me\n')
    document = desk.asked("policy", "set", model, str(file), "--reason", "new rules")
    assert [decision["kind"] for decision in document["decisions"]] == ["PolicyChanged"]
    assert (desk.settings.policies / f"{model}.toml").read_text() == file.read_text()
    shown = tmp_path / "shown.toml"
    shown.write_text(desk.run("policy", "show", model).out)
    assert 'autonomy = "approve"' in shown.read_text()
    # What is shown can be set.
    assert desk.run("policy", "set", model, str(shown)).status == 0


def test_a_policy_that_cannot_be_changes_neither_log_nor_file(desk: CommandDesk, tmp_path: Path) -> None:
    model = desk.register()
    file = tmp_path / "p.toml"
    file.write_text('autonomie = "approve"\n')
    said = desk.run("policy", "set", model, str(file))
    assert said.status == 2
    assert "unknown key autonomie; valid at the top are: admission, autonomy" in said.err
    assert not (desk.settings.policies / f"{model}.toml").exists()
    assert desk.kinds(model) == ["Registered"]


def test_files_are_put_in_force_once_and_again_when_they_come_back(desk: CommandDesk, capsys: pytest.CaptureFixture[str]) -> None:
    """As `up` does it: a file for a model that nobody registered is said, and does nothing."""
    model = desk.register()
    policies = desk.settings.policies
    policies.mkdir(exist_ok=True)
    (policies / "ghost.toml").write_text("")
    for text, changes in (('autonomy = "observe"', 1), ('autonomy = "observe"', 1), ("", 2), ('autonomy = "observe"', 3)):
        (policies / f"{model}.toml").write_text(text)
        apply_files(desk.settings, load_policies(policies), as_json=False)
        assert desk.kinds(model).count("PolicyChanged") == changes
    assert "no model 'ghost' is registered" in capsys.readouterr().out
    last = desk.asked("explain", desk.decisions(model)[-1].id)["chain"][0]["record"]
    assert (last["actor"], last["policy"]["autonomy"]) == (f"file:policies/{model}.toml", "observe")
    (policies / "ghost.toml").unlink()


# --- dead letters ----------------------------------------------------------------------------------------------------


def test_what_was_refused_is_sent_again_once(desk: CommandDesk) -> None:
    """One that lay on a wrong partition goes by its key to the right one, and acts there, however often it is asked for."""
    model = desk.register()
    pause = Pause(id=f"pause-{model}", at=EVENT_T0, model=model, actor="ada", reason="a test")
    place = Message(
        topic=topics.CONTROL, partition=63, offset=2**40 + desk.settings.control_port, broker_time=EVENT_T0,
        key=model.encode(), value=encode_json(pause),
    )  # fmt: skip
    letter = dead_letter(place, "wrong_partition", "a test", model=model)
    desk.write(topics.DEAD_LETTERS, b"", encode_json(letter))
    (shown,) = desk.asked("deadletters", "show", "--model", model)["dead_letters"]
    assert (shown["id"], shown["replayed"], shown["payload"]) == (letter.id, False, encode_json(pause).decode())
    assert model in desk.run("deadletters", "show", "--topic", "control", "--limit", "1000").out
    assert desk.asked("deadletters", "replay", letter.id[:8]) == {"sent": 1, "sent_before": 0, "refused": {}}
    desk.wait_for_kind(model, "Paused")
    assert desk.asked("deadletters", "replay", letter.id[:8]) == {"sent": 0, "sent_before": 1, "refused": {}}
    assert desk.asked("deadletters", "show", "--model", model)["dead_letters"][0]["replayed"]
    assert desk.kinds(model).count("Paused") == 1


def test_a_letter_whose_bytes_were_cut_is_refused(desk: CommandDesk) -> None:
    place = Message(
        topic=topics.LABELS, partition=0, offset=2**40 + desk.settings.control_port, broker_time=EVENT_T0,
        key=b"k", value=b"x" * (KEPT_PAYLOAD_BYTES + 1),
    )  # fmt: skip
    letter = dead_letter(place, "oversized", "a test")
    desk.write(topics.DEAD_LETTERS, b"", encode_json(letter))
    said = desk.run("deadletters", "replay", letter.id, "--json")
    assert (said.status, said.document["sent"]) == (1, 0)
    assert f"only {KEPT_PAYLOAD_BYTES} of its {KEPT_PAYLOAD_BYTES + 1} bytes were kept" in said.document["error"]


# --- logs ------------------------------------------------------------------------------------------------------------


def test_a_log_is_shown_from_its_end(desk: CommandDesk) -> None:
    desk.settings.logs.mkdir(exist_ok=True)
    (desk.settings.logs / "agents.log").write_text("".join(f"line {number}\n" for number in range(100)) + "\x1b[2J\n")
    assert desk.asked("logs", "agents", "--lines", "2")["lines"] == ["line 99", "\x1b[2J"]
    assert desk.run("logs", "agents", "--lines", "2").out == "line 99\n�[2J\n"
    assert desk.asked("logs", "agents", "--lines", "1000")["lines"][0] == "line 0"
