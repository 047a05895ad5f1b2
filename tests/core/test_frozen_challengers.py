"""The trainer's sight of the agents' state files: the same losses, the same answers; what cannot be read is said, not guessed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from drift.challenger import encode, predict
from homeostat.challenger_ring import LossRing, RowLosses, extended
from homeostat.challenger_state import ChallengerState, Heard, path_of, write_state
from homeostat.frozen_challengers import ChallengerFiles
from streams.adapters.predictors import load_artefact
from streams.events import QuarantineRule
from streams.release import load_contract, load_release
from tests.core.challenger_beside import learnt
from tests.core.trainer_rows import minute
from tests.core.training_shop import MemoryStore, Rows, register
from trainer.frozen import ChallengerUnusable

ROWS = Rows(number=300)


def bug(incident: str) -> QuarantineRule:
    """A rule of that incident."""
    return QuarantineRule(feature="x", kind="stuck", since=minute(1), incident=incident)


def kept(directory: Path, model: str = "m", named: str = "m") -> tuple[MemoryStore, ChallengerState]:
    """A state file of a challenger that learnt rows of model 'm', whose every hundredth row another champion answered."""
    store = MemoryStore()
    first, _ = register(store)
    state, frozen, _ = learnt(store, first, ROWS)
    rows = RowLosses(
        at_us=np.array([round(at.timestamp() * 1e6) for at in frozen.losses.at]),
        release=tuple(first if number % 100 else "older" for number in range(ROWS.number)),
        champion=frozen.losses.champion,
        challenger=frozen.losses.challenger,
    )
    written = ChallengerState(
        model=named,
        contract=frozen.contract,
        challenger=encode(state),
        heard=Heard(rules=(bug("open"),), released=(bug("ended"),)),
        learnt_until=frozen.learnt_until,
        ring=extended(LossRing(), rows),
    )
    write_state(path_of(directory, model), written)
    return store, written


def test_what_the_agents_kept_is_what_the_trainer_sees(tmp_path: Path) -> None:
    """Losses with their times and champions, incidents, and a model file that answers as the challenger does."""
    store, written = kept(tmp_path)
    first, _ = register(MemoryStore())
    _, wanted, matrix = learnt(store, first, ROWS)
    seen = ChallengerFiles(tmp_path).read("m")
    assert seen is not None
    assert (seen.contract, seen.known) == (written.contract, frozenset({"open", "ended"}))
    assert seen.learnt_until == minute(299)
    assert list(seen.losses.at) == list(wanted.losses.at)
    assert seen.losses.champions[99:102] == (first, "older", first)
    assert np.array_equal(seen.losses.champion, wanted.losses.champion)
    assert np.array_equal(seen.losses.challenger, wanted.losses.challenger)
    contract = load_contract(store, load_release(store, first).contract)
    artefact = seen.export(contract)
    assert artefact == seen.export(contract) == wanted.export(contract)
    state, _, _ = learnt(store, first, ROWS)
    values, _ = load_artefact(seen.format, contract, artefact).predict_matrix(matrix)
    assert np.array_equal(values, predict(state, matrix)[0])


def test_a_model_without_a_file_has_none(tmp_path: Path) -> None:
    """However many others have one."""
    kept(tmp_path)
    assert ChallengerFiles(tmp_path).read("n") is None


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    """Rubbish, a file of another model, a ring whose columns do not fit, a challenger whose bytes are damaged."""
    store, written = kept(tmp_path, named="other")
    files = ChallengerFiles(tmp_path)
    with pytest.raises(ChallengerUnusable, match="is of model 'other'"):
        files.read("m")
    path = path_of(tmp_path, "m")
    path.write_bytes(b"rubbish")
    with pytest.raises(ChallengerUnusable, match="is no state of a challenger"):
        files.read("m")
    _, written = kept(tmp_path)
    torn = LossRing(releases=("r",), at_us=written.ring.at_us, release=b"", champion=b"", challenger=b"")
    write_state(path, ChallengerState(model="m", contract="c", challenger=b"", ring=torn))
    with pytest.raises(ChallengerUnusable, match="a ring's columns have"):
        files.read("m")
    write_state(path, ChallengerState(model="m", contract="c", challenger=b"damaged"))
    seen = files.read("m")
    assert seen is not None
    first, _ = register(store)
    with pytest.raises(ChallengerUnusable, match="are no challenger"):
        seen.export(load_contract(store, load_release(store, first).contract))


def test_a_challenger_of_another_shape_is_not_exported_under_a_contract(tmp_path: Path) -> None:
    """The digests say so before; the shapes say it again."""
    store, _ = kept(tmp_path)
    first, _ = register(store)
    contract = load_contract(store, load_release(store, first).contract)
    narrower = msgspec.structs.replace(contract, features=contract.features[:1])
    seen = ChallengerFiles(tmp_path).read("m")
    assert seen is not None
    with pytest.raises(ChallengerUnusable, match="the challenger knows 2 features"):
        seen.export(narrower)
