"""The recipe learns what it is given, and gives the same bytes for the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.adapters.artefact import UnusableArtefact
from streams.adapters.predictors import load_predictor
from streams.adapters.xgboost_predictor import FORMAT, load_booster
from streams.contract import Contract, FeatureContract, TargetContract
from streams.encoding import encode_columns, encode_rows, feature_types
from streams.events import Scalar
from streams.release import Release, digest_of
from trainer.recipes.xgboost_trees import Context, Shape, train

ROWS = 600
COLOURS = ("red", "green", "blue", "grey")


def contract(target: TargetContract) -> Contract:
    """A number, a category and a boolean."""
    features = (
        FeatureContract(name="x", kind="number"),
        FeatureContract(name="colour", kind="category"),
        FeatureContract(name="open", kind="boolean"),
    )
    return Contract(model="m", features=features, target=target)


TWO = contract(TargetContract(name="y", task="classification", classes=("no", "yes")))
THREE = contract(TargetContract(name="y", task="classification", classes=("a", "b", "c")))
NUMBER = contract(TargetContract(name="y", task="regression", scale=10.0))


def columns(seed: int = 0) -> dict[str, list[Scalar]]:
    """Rows with some values missing."""
    generator = np.random.default_rng(seed)
    return {
        "x": [None if number % 17 == 0 else float(value) for number, value in enumerate(generator.normal(size=ROWS))],
        "colour": [
            None if number % 23 == 0 else COLOURS[int(value)] for number, value in enumerate(generator.integers(0, 4, ROWS))
        ],
        "open": [bool(value) for value in generator.integers(0, 2, ROWS)],
    }


def fitted(of: Contract, target: NDArray[np.float64], seed: int = 3, **parameters: float) -> bytes:
    """An artefact."""
    shape = Shape(feature_types=feature_types(of), classes=len(of.target.classes))
    return train(encode_columns(of, columns()), target, shape, {"rounds": 30, **parameters}, Context(seed=seed))


def answers(of: Contract, artefact: bytes) -> list[tuple[float, float | None]]:
    """What it says on its own rows, asked as serving asks."""
    names = [feature.name for feature in of.features]
    rows = [dict(zip(names, values, strict=True)) for values in zip(*columns().values(), strict=True)]
    return load_booster(of, artefact).predict(rows)


def test_equal_rows_and_seed_give_equal_bytes() -> None:
    """The digest of a release rests on it; subsampling makes the seed matter."""
    target = np.array([float(value) for value in columns()["open"] if value is not None])
    assert fitted(TWO, target, subsample=0.5) == fitted(TWO, target, subsample=0.5)
    assert fitted(TWO, target, subsample=0.5) != fitted(TWO, target, seed=4, subsample=0.5)


def test_a_category_is_learnt_as_a_set_not_as_an_order() -> None:
    """Two colours whose buckets are apart, with another between them."""
    wanted = np.array([float(colour in ("red", "blue")) for colour in columns()["colour"]])
    said = answers(TWO, fitted(TWO, wanted))
    assert [value for value, _ in said] == wanted.tolist()
    assert all(confidence is not None and confidence >= 0.5 for _, confidence in said)


def test_missing_values_are_learnt_from() -> None:
    """A missing value goes its own way in a tree."""
    wanted = np.array([float(value is None) for value in columns()["x"]])
    assert [value for value, _ in answers(TWO, fitted(TWO, wanted))] == wanted.tolist()


def test_any_number_of_classes() -> None:
    """Three classes answer with the index of the likeliest, and its probability."""
    wanted = np.array(
        [0.0 if value is None else 1.0 + float(value > 0) for value in columns()["x"] if not isinstance(value, str)]
    )
    said = answers(THREE, fitted(THREE, wanted))
    assert [value for value, _ in said] == wanted.tolist()
    assert all(confidence is not None and 1 / 3 <= confidence <= 1.0 for _, confidence in said)


def test_regression_answers_with_a_number_and_no_confidence() -> None:
    """Close to the target on its own rows."""
    wanted = np.array([5.0 if value is None else 10.0 * float(value) for value in columns()["x"] if not isinstance(value, str)])
    said = answers(NUMBER, fitted(NUMBER, wanted, rounds=100))
    assert {confidence for _, confidence in said} == {None}
    assert float(np.abs(np.array([value for value, _ in said]) - wanted).mean()) < 1.0


def test_rows_and_columns_are_encoded_alike() -> None:
    """Training encodes columns, serving rows: one difference would be a skew between them."""
    values = columns()
    rows = [{name: values[name][number] for name in values} for number in range(ROWS)]
    np.testing.assert_array_equal(encode_rows(TWO, rows), encode_columns(TWO, values))


def test_a_value_of_the_wrong_kind_is_missing_and_not_an_exception() -> None:
    """The row is answered, and flagged elsewhere."""
    encoded = encode_rows(TWO, [{"x": "1", "colour": 3.0, "open": 7.0}, {"x": 1e300, "colour": None, "open": 1}, {"x": True}])
    assert np.isnan(encoded).tolist() == [[True, True, True], [True, True, False], [True, True, True]]


def test_an_artefact_that_is_not_what_the_release_says_is_refused_before_it_is_parsed() -> None:
    """Wrong bytes, wrong format, wrong shape."""
    artefact = fitted(TWO, np.tile([0.0, 1.0], ROWS // 2))
    release = Release(model="m", artefact=digest_of(artefact), format=FORMAT, contract="", profile="", card="", run="")
    assert load_predictor(release, TWO, artefact).predict([{"x": 0.0}])
    with pytest.raises(UnusableArtefact, match="fetch it again"):
        load_predictor(release, TWO, artefact + b" ")
    with pytest.raises(UnusableArtefact, match="cannot read the artefact"):
        load_booster(TWO, b"not a model")
    with pytest.raises(UnusableArtefact, match="its contract has 3 classes"):
        load_booster(THREE, artefact)
    narrow = Contract(model="m", features=TWO.features[:1], target=TWO.target)
    with pytest.raises(UnusableArtefact, match="artefact has 3 features, its contract 1"):
        load_booster(narrow, artefact)
