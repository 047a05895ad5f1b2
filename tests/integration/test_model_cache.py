"""Serving starts from its own disk, and puts in force only what it could load and verify."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from serving.adapters.model_cache import ROUTES_FILE, ModelCache, ReleaseUnusable
from serving.served_policy import ServedPolicy
from streams.adapters.store import DirectoryStore
from streams.release import load_release
from tests.integration.installer_place import MODEL, Place
from tests.integration.small_release import put_release

MISSING = "e" * 64


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_restart_answers_with_the_store_gone(place: Place) -> None:
    place.install(4, put_release(place.store, MODEL))
    shutil.rmtree(place.store.path)
    again = place.restarted()
    assert again.generation() == 4
    assert again.answers()


def test_a_route_whose_champion_cannot_be_loaded_waits_and_comes_into_force_once_it_can(place: Place) -> None:
    place.install(1, put_release(place.store, MODEL))
    newer = put_release(place.store, MODEL, seed=1)
    artefact = load_release(place.store, newer).artefact
    stored = place.store.path / "sha256" / artefact[:2] / artefact[2:]
    away = stored.rename(stored.with_name("away"))
    place.install(2, newer)
    assert place.generation() == 1
    assert place.answers()
    away.rename(stored)
    place.installer.install()
    assert place.generation() == 2


def test_a_candidate_that_cannot_be_loaded_never_answers_and_the_champion_goes_on(place: Place) -> None:
    place.install(2, put_release(place.store, MODEL), candidate=MISSING, step=1, share=0.5)
    live = place.live.get(MODEL)
    assert live is not None
    assert [(side.arm, side.release, side.lane) for side in live.side_arms] == [("candidate", MISSING, None)]
    assert place.answers()


def test_a_candidate_is_loaded_as_soon_as_it_can_be(place: Place) -> None:
    elsewhere = DirectoryStore(place.directory / "elsewhere")
    candidate = put_release(elsewhere, MODEL, seed=1)
    place.install(2, put_release(place.store, MODEL), candidate=candidate)
    put_release(place.store, MODEL, seed=1)
    place.installer.install()
    live = place.live.get(MODEL)
    assert live is not None
    assert live.complete()
    assert live.route.generation == 2


def test_a_damaged_artefact_is_refused_and_fetched_again(place: Place) -> None:
    digest = put_release(place.store, MODEL)
    place.install(1, digest)
    artefact = load_release(place.store, digest).artefact
    good = place.blob(artefact).read_bytes()
    place.blob(artefact).write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    assert place.restarted().answers()
    assert place.blob(artefact).read_bytes() == good


def test_a_damaged_artefact_without_a_store_is_never_parsed(place: Place) -> None:
    digest = put_release(place.store, MODEL)
    place.install(1, digest)
    artefact = load_release(place.store, digest).artefact
    shutil.rmtree(place.store.path)
    place.blob(artefact).write_bytes(b"{}")
    with pytest.raises(ReleaseUnusable, match=artefact):
        ModelCache(place.directory / "cache", place.store).load(MODEL, digest)
    assert place.restarted().generation() == 0


def test_a_release_of_another_model_is_refused(place: Place) -> None:
    place.install(1, put_release(place.store, "another"))
    assert place.generation() == 0


@pytest.mark.parametrize(("incarnation", "generation", "taken"), [(1, 4, 5), (1, 5, 5), (1, 6, 6), (2, 1, 1)])
def test_only_a_newer_route_replaces_the_one_in_force(place: Place, incarnation: int, generation: int, taken: int) -> None:
    release = put_release(place.store, MODEL)
    place.install(5, release)
    place.install(generation, release, incarnation=incarnation)
    assert place.generation() == taken


def test_only_what_is_in_force_is_kept_on_the_disk(place: Place) -> None:
    for generation in (1, 2, 3):
        place.install(generation, put_release(place.store, MODEL, seed=generation))
    kept = [path for path in (place.directory / "cache" / "sha256").glob("*/*") if path.is_file()]
    assert len(kept) == 3  # manifest, contract, artefact


def test_a_damaged_route_file_means_waiting_for_the_log(place: Place) -> None:
    place.install(1, put_release(place.store, MODEL))
    (place.directory / "cache" / ROUTES_FILE).write_text("{")
    assert place.restarted().generation() == 0


def test_what_a_policy_hides_stays_hidden_after_a_restart(place: Place) -> None:
    place.installer.set_policy(MODEL, ServedPolicy(log={"nswprice": "drop"}))
    place.install(1, put_release(place.store, MODEL))
    live = place.restarted().live.get(MODEL)
    assert live is not None
    assert live.privacy == {"nswprice": "drop"}


def test_without_a_known_policy_no_feature_is_logged_which_is_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    release = put_release(place.store, MODEL)
    for generation in (1, 2):
        place.install(generation, release)
    live = place.live.get(MODEL)
    assert live is not None
    assert live.privacy is None
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["no features of m are logged"]
    again = place.restarted().live.get(MODEL)
    assert again is not None
    assert again.privacy is None
    place.installer.set_policy(MODEL, ServedPolicy())
    known = place.live.get(MODEL)
    assert known is not None
    assert known.privacy == {}


def test_a_new_policy_is_in_force_at_once(place: Place) -> None:
    place.install(1, put_release(place.store, MODEL))
    place.installer.set_policy(MODEL, ServedPolicy(log={"nswprice": "hash"}))
    live = place.live.get(MODEL)
    assert live is not None
    assert live.privacy == {"nswprice": "hash"}
    assert live.route.generation == 1
