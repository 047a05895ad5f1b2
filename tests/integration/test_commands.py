"""Commands that steer, on a broker of their own with a controller and a serving process; each with its refusals."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from homeostat import replay
from homeostat.serving_client import model_document
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.topic_admin import create_topics
from streams.events import QualityIncident, QuarantineRule
from tests.core.control_log import EVENT_T0, POLICY, evidence, finished, retrain
from tests.integration.command_desk import CommandDesk
from tests.integration.role_process import wait_for

FORWARD = {"TrainingStarted", "RecallStarted", "ShadowStarted", "StepTaken", "Promoted"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandDesk]:
    """Its own broker: `pause --all` means every model on it."""
    directory = tmp_path_factory.mktemp("commands")
    broker = EmbeddedBroker(directory / "broker")
    broker.start(timeout_s=120.0)
    create_topics(broker.bootstrap_servers)
    desk = CommandDesk(broker.bootstrap_servers, directory / "data")
    try:
        desk.start("control")
        desk.start("serve")
        yield desk
    finally:
        desk.close()
        broker.stop()


def incident(model: str, release: str, number: int = 1, feature: str = "vicprice") -> QualityIncident:
    rule = QuarantineRule(
        incident=f"{model}-bug-{number}",
        feature=feature,
        kind="unit",
        since=EVENT_T0 - timedelta(hours=1),
        low=0.0,
        high=1.0,
    )
    return QualityIncident(
        id=rule.incident, at=EVENT_T0, model=model, actor="agents", reason="1000 times too large", release=release, rule=rule,
        closed=False, numbers={"factor": 1_000.0},
    )  # fmt: skip


# --- rollback --------------------------------------------------------------------------------------------------------


def test_a_rollback_is_done_when_serving_says_so(desk: CommandDesk) -> None:
    """By the answer of the serving process: its generation and its champion. Then nothing is left to go back to but what served."""
    model = desk.register()
    first = desk.route(model).champion
    second = desk.train(model)
    desk.promote(model)
    document = desk.asked("rollback", model, "--reason", "looks wrong")
    assert (document["done"], document["confirmed"], document["champion"]) == (True, True, first)
    assert document["served"]["champion"] == first
    assert document["served"]["generation"] >= document["generation"]
    assert [decision["kind"] for decision in document["decisions"]] == ["RolledBack"]
    # Back to the one taken out, by the beginning of its digest.
    assert desk.asked("rollback", model, "--to", second[:8])["champion"] == second


def test_only_a_release_that_served_is_gone_back_to(desk: CommandDesk) -> None:
    """A candidate in shadow never did; nothing is written."""
    model = desk.register()
    candidate = desk.train(model)
    said = desk.run("rollback", model, "--to", candidate[:8])
    assert said.status == 2
    assert "no release that served begins with" in said.err
    assert desk.route(model).champion[:12] in said.err
    assert desk.kinds(model)[-1] == "ShadowStarted"


def test_with_none_served_before_it_is_refused(desk: CommandDesk) -> None:
    said = desk.run("rollback", desk.register(), "--json")
    assert said.status == 1
    assert said.document["decisions"][0]["kind"] == "Refused"
    assert "no release served before" in said.document["error"]


def test_a_rollback_that_serving_cannot_follow_is_not_called_done(desk: CommandDesk) -> None:
    """First because its blob is gone and serving goes on with what it has; then because serving does not answer."""
    model = desk.register()
    first = desk.route(model).champion
    second = desk.train(model)
    desk.promote(model)
    desk.stop("serve")
    shutil.rmtree(Path(desk.settings.data) / "serving-cache")
    blob = desk.settings.store / "sha256" / first[:2] / first[2:]
    kept = blob.read_bytes()
    blob.unlink()
    desk.start("serve")
    wait_for(lambda: (model_document(desk.settings, model) or {}).get("champion") == second, "serving has the model again")
    try:
        said = desk.run("rollback", model, "--wait", "2", "--json")
        assert (said.status, said.document["done"], said.document["confirmed"]) == (1, False, False)
        assert f"serving still answers with {second[:12]}" in said.document["error"]
        desk.stop("serve")
        said = desk.run("rollback", model, "--to", second, "--wait", "1")
        assert said.status == 1
        assert "could not be confirmed within 1 s" in said.err
        assert "homeostat logs serve" in said.err
    finally:
        blob.write_bytes(kept)
        desk.start("serve")


# --- promote, override, approve --------------------------------------------------------------------------------------


def test_an_offered_release_goes_through_shadow(desk: CommandDesk) -> None:
    """One that the gate refused, by the beginning of its digest."""
    model = desk.register()
    release = desk.train(model, passed=False)
    document = desk.asked("promote", model, release[:10], "--reason", "the holdout was spoilt")
    assert [decision["kind"] for decision in document["decisions"]] == ["CandidateOffered", "ShadowStarted"]
    assert desk.route(model).candidate == release
    said = desk.run("promote", model, release, "--reason", "again")
    assert (said.status, "is being tried" in said.err) == (1, True)


def test_a_release_that_cannot_be_offered_is_refused_before_anything_is_written(desk: CommandDesk) -> None:
    """Of another model; not in the store; unknown."""
    model, other = desk.register(), desk.register()
    count = len(desk.decisions(model))
    for release, status, words in (
        (desk.route(other).champion, 2, f"is one of '{other}', not of '{model}'"),
        ("0" * 64, 1, "cannot be used: no blob"),
        ("abcdefg", 2, "no release begins with 'abcdefg'; there are: "),
        (desk.route(model).champion[:3], 2, "is too short"),
    ):
        said = desk.run("promote", model, release, "--reason", "x")
        assert (said.status, words in said.err) == (status, True), said
    assert len(desk.decisions(model)) == count


def test_an_override_takes_the_first_step_and_says_what_it_does_not_skip(desk: CommandDesk) -> None:
    model = desk.register()
    release = desk.train(model, passed=False)
    said = desk.run("override", model, release, "--reason", "known season")
    assert said.status == 0, said
    assert "Not skipped:" in said.out
    assert "paired losses" in said.out.replace("\n", " ")
    assert (desk.route(model).candidate, desk.route(model).step) == (release, 1)
    refused = desk.run("override", model, release, "--reason", "again", "--json")
    assert refused.status == 1
    assert "answers rows already" in refused.document["error"]


def test_the_one_open_question_is_approved(desk: CommandDesk) -> None:
    model = desk.register(msgspec.structs.replace(POLICY, autonomy="approve"))
    assert "asks for nothing now" in desk.run("approve", model).err
    desk.train(model)
    desk.shadow_passed(model)
    desk.wait_for_kind(model, "ApprovalWanted")
    assert desk.asked("models")["models"][-1].keys() >= {"approvals"}
    assert desk.run("approve", model, "ffffffff").status == 2
    document = desk.asked("approve", model, "--reason", "seen")
    assert [decision["kind"] for decision in document["decisions"]] == ["Approved", "StepTaken"]
    assert desk.run("approve", model).status == 1


# --- incidents -------------------------------------------------------------------------------------------------------


def test_an_incident_is_shown_and_ended_by_a_person(desk: CommandDesk) -> None:
    model = desk.register()
    champion = desk.route(model).champion
    desk.tell(incident(model, champion, 1, "transfer"), incident(model, champion, 2))
    desk.wait_for_kind(model, "IncidentOpened", 2)
    found = desk.asked("incidents", model)["incidents"]
    numbers = {"factor": 1_000.0}
    assert [(one["feature"], one["open"], one["numbers"]) for one in found] == [
        ("transfer", True, numbers),
        ("vicprice", True, numbers),
    ]
    assert "vicprice" in desk.run("incidents", model).out
    assert desk.run("release-quarantine", model, "nothing", "--reason", "x").status == 2
    desk.asked("release-quarantine", model, f"{model}-bug-1", "--reason", "rows were fine")
    assert [one["open"] for one in desk.asked("incidents", model)["incidents"]] == [False, True]
    document = desk.asked("accept-change", model, "vicprice", "--reason", "new unit")
    assert [decision["kind"] for decision in document["decisions"]] == ["ChangeAccepted", "IncidentClosed"]
    assert [one["open"] for one in desk.asked("incidents", model)["incidents"]] == [False, False]
    assert desk.route(model).accepted == ("vicprice",)
    assert desk.run("accept-change", model, "vicprice", "--reason", "again").status == 1


def test_a_feature_that_is_none_is_refused_with_those_that_are(desk: CommandDesk) -> None:
    said = desk.run("accept-change", desk.register(), "price", "--reason", "x")
    assert said.status == 2
    assert "nswdemand, nswprice, period, transfer" in said.err


# --- the kill switch -------------------------------------------------------------------------------------------------


def test_pause_all_stops_everything_and_resume_lets_it_go_on(desk: CommandDesk) -> None:
    """Nothing is trained, tried or promoted after it, whatever evidence comes: for every model, in whatever state it was."""
    shadow, step, last, training = (desk.register() for _ in range(4))
    desk.train(shadow)
    desk.train(step)
    desk.shadow_passed(step)
    desk.train(last)
    desk.shadow_passed(last)
    desk.wait_for_kind(last, "StepTaken")
    desk.tell(evidence(desk.route(last), 100, better=5, worse=2, answered=200, model=last))
    desk.wait_for_kind(last, "StepTaken", 2)
    desk.wait_for_kind(step, "StepTaken")
    desk.tell(retrain(f"req-{training}", model=training))
    desk.wait_for_kind(training, "TrainingStarted")
    run = desk.decisions(training)[-1].run
    models = (shadow, step, last, training)

    document = desk.asked("pause", "--all", "--reason", "3 a.m.")
    assert document["done"]
    assert {one["model"] for one in document["models"]} >= set(models)
    assert all(one["paused"] for one in document["models"])
    assert 0.0 < document["seconds"] < 30.0

    desk.shadow_passed(shadow)
    for model in (step, last):
        desk.tell(evidence(desk.route(model), 200, better=15, worse=2, answered=400, model=model))
    desk.tell(finished(run, desk.release(training, 1), model=training))
    for model in models:
        desk.tell(retrain(f"late-{model}", model=model))
        desk.wait_for_kind(model, "TrainingRefused")
        after = desk.kinds(model)[desk.kinds(model).index("Paused") :]
        assert not set(after) & FORWARD, (model, after)
    assert desk.run("retrain", training, "--reason", "x").status == 1
    assert "paused" in desk.run("models").out

    again = desk.asked("pause", shadow)  # held already is held
    assert again["done"]
    assert desk.asked("resume", "--all")["done"]
    wait_for(lambda: "StepTaken" in desk.kinds(shadow), "the candidate in shadow goes on")
    wait_for(lambda: "Promoted" in desk.kinds(last), "the candidate in its last step is promoted")
    desk.wait_for_kind(training, "ShadowStarted")


def test_one_model_is_held_or_all_are_but_not_neither_or_both(desk: CommandDesk) -> None:
    model = desk.register()
    assert desk.run("pause").status == 2
    assert desk.run("pause", model, "--all").status == 2
    assert desk.run("pause", "nobody").status == 1
    said = desk.run("pause", model)
    assert said.status == 0
    assert "s from the write to the last decision" in said.out
    assert desk.run("resume", model).status == 0


def test_without_a_controller_a_command_says_that_nothing_was_decided(desk: CommandDesk) -> None:
    """Its record stands, and acts as soon as somebody decides; reading works meanwhile."""
    model = desk.register()
    desk.stop("control")
    try:
        said = desk.run("pause", "--all", "--wait", "1", "--json")
        assert (said.status, said.document["done"]) == (1, False)
        assert "homeostat logs control" in said.document["error"]
        assert desk.run("retrain", model, "--reason", "x", "--wait", "1").status == 1
        for look in (("models",), ("history", model), ("runs",), ("incidents",), ("policy", "show", model)):
            assert desk.run(*look).status == 0, look
    finally:
        desk.start("control")
    desk.wait_for_kind(model, "Paused")
    desk.wait_for_kind(model, "TrainingRefused")
    desk.asked("resume", "--all")


def test_every_decision_of_these_commands_follows_from_the_log(desk: CommandDesk) -> None:
    """Last: of all the models above."""
    result = replay.run(desk.settings)
    assert result.differing == ()
    assert result.decisions > 30
