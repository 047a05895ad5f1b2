"""Artefacts of every format answer by one convention, and a frozen challenger answers what the challenger would."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from drift.challenger import Challenger, Shape, fresh, predict, predicted_then_learnt, warmed
from drift.frozen_challenger import to_onnx
from streams.adapters.artefact import UnusableArtefact
from streams.adapters.onnx_predictor import FORMAT, load_onnx
from streams.adapters.predictors import FORMATS, load_artefact, load_predictor, load_served
from streams.contract import Contract, FeatureContract, TargetContract
from streams.encoding import Matrix, feature_types
from streams.release import Release, digest_of, encode
from tests.core.training_shop import MemoryStore
from trainer.adapters.formats import FORMATS as TRAINER_FORMATS
from trainer.candidate import NotTrainable
from trainer.recipes import xgboost_trees

ROWS = 500
KINDS = ("number", "category", "boolean")


def contract(classes: int, kinds: tuple[str, ...] = KINDS) -> Contract:
    """So many classes, or a number."""
    features = tuple(FeatureContract(name=f"f{place}", kind=kind) for place, kind in enumerate(kinds))  # type: ignore[arg-type]
    task = TargetContract(name="y", task="classification", classes=tuple("abcdefgh"[:classes]))
    return Contract(model="m", features=features, target=task if classes else TargetContract(name="y", task="regression"))


def matrix(kinds: tuple[str, ...] = KINDS, seed: int = 0) -> Matrix:
    """Rows of every kind; one value in seven is missing, and numbers are large."""
    random = np.random.default_rng(seed)
    columns = {
        "number": lambda: random.normal(size=ROWS) * 1e5 + 1e6,
        "category": lambda: random.integers(0, 4_096, ROWS).astype(np.float64),
        "boolean": lambda: random.integers(0, 2, ROWS).astype(np.float64),
    }
    made = np.column_stack([columns[kind]() for kind in kinds])
    return np.where(random.random(made.shape) < 1 / 7, np.nan, made).astype(np.float32)


def target(of: Contract, rows: Matrix) -> np.ndarray:
    """By the first feature, in as many parts as there are classes."""
    first = np.nan_to_num(rows[:, 0].astype(np.float64), nan=0.0)
    classes = len(of.target.classes)
    if not classes:
        return first / 1e5
    return np.digitize(first, np.quantile(first, np.arange(1, classes) / classes)).astype(np.float64)


def challenger(of: Contract, rows: Matrix) -> Challenger:
    """One that has learnt those rows."""
    return warmed(fresh(Shape.of(of), 400), rows, target(of, rows))


def frozen(of: Contract, rows: Matrix) -> bytes:
    """An ONNX artefact."""
    return to_onnx(challenger(of, rows), of)


def trees(of: Contract, rows: Matrix) -> bytes:
    """An XGBoost artefact."""
    shape = xgboost_trees.Shape(feature_types=feature_types(of), classes=len(of.target.classes))
    return xgboost_trees.train(rows, target(of, rows), shape, {"rounds": 10}, xgboost_trees.Context(seed=0))


MAKERS: dict[str, Callable[[Contract, Matrix], bytes]] = {"onnx": frozen, "xgboost-ubj": trees}
every_format = pytest.mark.parametrize("form", sorted(FORMATS))


def release(artefact: bytes, form: str, of: str = "") -> Release:
    """A manifest of those bytes."""
    return Release(model="m", artefact=digest_of(artefact), format=form, contract=of, profile="", card="", run="")


def test_every_format_is_tested_here() -> None:
    """One that is added must answer as the others do."""
    assert sorted(MAKERS) == sorted(FORMATS)


@every_format
@pytest.mark.parametrize("classes", [0, 2, 3])
def test_answers_keep_the_convention(form: str, classes: int) -> None:
    """Class indices with a confidence of at least an even share, or numbers with none; by row as by matrix."""
    of, rows = contract(classes), matrix()
    predictor = load_artefact(form, of, MAKERS[form](of, rows))
    values, confidences = predictor.predict_matrix(rows)
    assert values.shape == (ROWS,)
    assert values.dtype == np.float64
    if classes:
        assert confidences is not None
        assert set(values.tolist()) <= set(range(classes))
        assert ((confidences >= 1 / classes - 1e-6) & (confidences <= 1.0)).all()
        assert (values == target(of, rows)).mean() > 0.8
    else:
        assert confidences is None
    number = [{"f0": float(row[0]), "f2": bool(row[2])} for row in rows[:50] if np.isfinite(row[[0, 2]]).all()]
    encoded = np.array([[row["f0"], np.nan, row["f2"]] for row in number], dtype=np.float32)
    there, sure = predictor.predict_matrix(encoded)
    assert predictor.predict(number) == list(
        zip(there.tolist(), sure.tolist() if sure is not None else [None] * 50, strict=False)
    )


@every_format
def test_no_rows_no_answers(form: str) -> None:
    """Nor an error."""
    of, rows = contract(2), matrix()
    predictor = load_artefact(form, of, MAKERS[form](of, rows))
    assert predictor.predict([]) == []
    values, confidences = predictor.predict_matrix(rows[:0])
    assert confidences is not None
    assert (len(values), len(confidences)) == (0, 0)


@every_format
def test_an_artefact_that_is_not_its_releases_is_refused(form: str) -> None:
    """Other bytes, bytes that are no model, other features, other classes. Control: its own are taken."""
    of, rows = contract(2), matrix()
    artefact = MAKERS[form](of, rows)
    assert load_predictor(release(artefact, form), of, artefact).predict([{"f0": 0.0}])
    with pytest.raises(UnusableArtefact, match="fetch it again"):
        load_predictor(release(artefact, form), of, artefact + b" ")
    with pytest.raises(UnusableArtefact, match=r"cannot read the artefact|is no ONNX model"):
        load_artefact(form, of, b"not a model")
    with pytest.raises(UnusableArtefact, match="artefact has 3 features, its contract 2"):
        load_artefact(form, contract(2, KINDS[:2]), artefact)
    for classes in (3, 0) if form == "onnx" else (3,):
        with pytest.raises(UnusableArtefact, match=f"its contract has {classes} classes"):
            load_artefact(form, contract(classes), artefact)


@every_format
def test_a_release_is_served_by_its_format(form: str) -> None:
    """From the store, by digest; a format that nobody knows names those that there are."""
    of, store = contract(2), MemoryStore()
    artefact = MAKERS[form](of, matrix())
    store.put(artefact)
    manifest = release(artefact, form, store.put(encode(of)))
    found, its, predictor = load_served(store, store.put(encode(manifest)))
    assert (found, its) == (manifest, of)
    assert predictor.predict([{"f0": 0.0}])
    with pytest.raises(UnusableArtefact, match="'pickle'; there are: onnx, xgboost-ubj"):
        load_artefact("pickle", of, artefact)
    assert TRAINER_FORMATS.load(form, of, artefact).predict_matrix(matrix())
    with pytest.raises(NotTrainable, match="there are: onnx, xgboost-ubj"):
        TRAINER_FORMATS.load("pickle", of, artefact)


@pytest.mark.parametrize("classes", [0, 2, 5])
@pytest.mark.parametrize("kinds", [("number",) * 6, ("category",) * 3, KINDS * 2, ("number",) * 190, ("number", "category") * 40])
def test_a_frozen_challenger_answers_what_the_challenger_would(kinds: tuple[str, ...], classes: int) -> None:
    """Missing values, infinities and extremes included. Control: another challenger's answers differ."""
    of, rows = contract(classes, kinds), matrix(kinds)
    state = challenger(of, rows)
    asked = matrix(kinds, seed=1)
    asked[0], asked[1, 0], asked[2, 0], asked[3] = np.nan, np.inf, -np.inf, 3e38
    values, confidences = predict(state, asked)
    said, sure = load_onnx(of, to_onnx(state, of)).predict_matrix(asked)
    if classes:
        assert confidences is not None
        assert sure is not None
        np.testing.assert_array_equal(said, values)
        np.testing.assert_allclose(sure, confidences, atol=1e-5)
    else:
        np.testing.assert_allclose(said, values, rtol=1e-5, atol=1e-5)
    more, _ = predicted_then_learnt(state, rows, target(of, rows)[::-1])
    other, _ = load_onnx(of, to_onnx(more, of)).predict_matrix(asked)
    assert not np.array_equal(other, values)


def test_equal_challengers_are_frozen_to_equal_bytes() -> None:
    """The digest of a release rests on it."""
    of, rows = contract(3), matrix()
    assert frozen(of, rows) == frozen(of, rows)
    assert frozen(of, rows) != frozen(of, matrix(seed=1))


def test_a_challenger_is_frozen_only_by_the_contract_it_learnt() -> None:
    """Other features, other classes."""
    state = challenger(contract(2), matrix())
    for of in (contract(2, KINDS[:2]), contract(3), contract(0)):
        with pytest.raises(ValueError, match="begin it anew"):
            to_onnx(state, of)


def test_a_score_that_is_no_number_answers_no_number() -> None:
    """Serving refuses it then."""
    of, state = contract(2), challenger(contract(2), matrix())
    spoilt = to_onnx(replace(state, coefficients=np.full_like(state.coefficients, np.nan)), of)
    values, _ = load_onnx(of, spoilt).predict_matrix(matrix())
    assert np.isnan(values).all()


def test_the_format_is_named_once() -> None:
    """In the release as in the table of formats."""
    assert FORMATS[FORMAT] is load_onnx
