"""A model that never stops learning, and so shows what a freshly trained one would lose on the same rows.

Least squares with exponential memory on linear and random cosine terms: a column per class (1 in the class, 0 outside,
less 1 / classes), or one for a number. Nothing is trained: a batch changes the sums, and the coefficients follow from them.
It may hold several memories; the one that predicted best lately answers.

Rules. A row is predicted before it is learnt. State goes in and comes out; no array of it is ever changed. Any float is a
feature: what is not finite is missing. A label that is no class (or not finite) loses 1 and is not learnt. When its sums
give no finite coefficients it starts afresh, and `restarts` grows: the caller says so.

Scaling follows the rows: in every BLOCK rows, a feature that has left its place is scaled anew. What the sums know of
the linear terms is carried over; the cosines learn again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drift.challenger_encoding import (
    CLIP,
    COSINES,
    Shape,
    regressors,
)
from drift.challenger_scaling import FAR, Scaling, seen_scaling
from drift.challenger_state import Challenger, UnreadableChallenger, decode, encode, fresh
from streams.encoding import Matrix
from streams.scoring import column_losses

Floats = NDArray[np.float64]

RIDGE: Final = 3.0
BATCH: Final = 256
"""Rows that are predicted at most before what they taught is used."""
BLOCK: Final = 512
WARM_MEMORIES: Final = 4
"""Older rows than so many memories weigh nothing."""
IDLE_TURNS: Final = 4
"""A memory that does not answer is solved only every so many times."""

__all__ = [
    "Challenger",
    "Shape",
    "UnreadableChallenger",
    "decode",
    "encode",
    "fresh",
    "losses_of",
    "predict",
    "predicted_then_learnt",
    "warmed",
]


def warmed(state: Challenger, matrix: Matrix, target: Floats) -> Challenger:
    """It after the champion's training rows, in time order: first their scaling, then what they teach."""
    first = max(len(matrix) - int(WARM_MEMORIES * max(state.memories)), 0)
    matrix, target = matrix[first:], np.asarray(target, dtype=np.float64)[first:]
    usable = _usable(state.shape, target)
    if usable.any():
        state = _rescaled(state, matrix[usable], target[usable], everything=True)
    state, _ = predicted_then_learnt(state, matrix, target)
    return _solved(state)


def predicted_then_learnt(state: Challenger, matrix: Matrix, target: Floats) -> tuple[Challenger, Floats]:
    """Losses in [0, 1] of rows in time order, each predicted before it (and its batch) was learnt."""
    target = np.asarray(target, dtype=np.float64)
    losses = np.ones(len(matrix))
    # Rows of a batch count as equally old, so a short memory takes small batches.
    batch = max(min(BATCH, int(min(state.memories) / 4)), 16)
    for start in range(0, len(matrix), batch):
        part = slice(start, start + batch)
        made = _regressors(state, matrix[part])
        scores = made @ state.coefficients
        values, _ = _answers(state, scores[state.answering])
        losses[part] = losses_of(state.shape, values, target[part])
        usable = _usable(state.shape, target[part])
        if usable.any():
            state = _learnt(state, matrix[part][usable], target[part][usable], made[usable], scores[:, usable])
    return state, losses


def predict(state: Challenger, matrix: Matrix) -> tuple[Floats, Floats | None]:
    """Class indices and confidences, or numbers and None, as the predictor of a release gives them."""
    return _answers(state, _regressors(state, matrix) @ state.coefficients[state.answering])


def losses_of(shape: Shape, predicted: Floats, actual: Floats) -> Floats:
    """Wrong class, or |error| / scale cut at 1; what is not a number loses 1."""
    return column_losses(predicted, actual, None if shape.classes else shape.target_scale)


def lowest_share(classes: int) -> float:
    """No class is said to be less likely than this, before shares are made to add up to 1."""
    return min(0.02, 0.1 / classes)


def _regressors(state: Challenger, matrix: Matrix) -> NDArray[np.float32]:
    return regressors(state.shape, state.scaling, state.mixtures, matrix)


def _answers(state: Challenger, scores: Floats) -> tuple[Floats, Floats | None]:
    classes = state.shape.classes
    if not classes:
        return scores[:, 0] * state.target_scaling.scale[0] + state.target_scaling.centre[0], None
    least = lowest_share(classes)
    shares = np.clip(scores + 1.0 / classes, least, 1.0 - least)
    best = shares.argmax(axis=1)
    return best.astype(np.float64), shares[np.arange(len(best)), best] / shares.sum(axis=1)


def _usable(shape: Shape, target: Floats) -> NDArray[np.bool_]:
    if not shape.classes:
        return np.isfinite(target)
    usable: NDArray[np.bool_] = (target >= 0.0) & (target < shape.classes) & (target == np.floor(target))
    return usable


def _learnt(state: Challenger, matrix: Matrix, target: Floats, made: NDArray[np.float32], scores: Floats) -> Challenger:
    """It after one batch of rows, whose scores by every memory are known."""
    rows, columns = len(target), _columns(state, target)
    kept = np.exp(-rows / np.array(state.memories))
    moments = state.moments * kept[:, None, None]
    moments += made.T @ made
    state = replace(
        state,
        moments=moments,
        products=state.products * kept[:, None, None] + made.T @ columns,
        misses=state.misses * kept.min() + np.square(scores - columns).sum(axis=(1, 2)),
        rows=state.rows + rows,
        unsolved=state.unsolved + rows,
        block=np.concatenate([state.block, matrix]),
        block_target=np.concatenate([state.block_target, target]),
    )
    if len(state.block) >= BLOCK:
        state = _rescaled(state, state.block, state.block_target)
    # A wide solve costs more, so more rows share it; early on every row matters.
    if state.unsolved < min(state.shape.width // 4, 1 + state.rows // 8):
        return state
    state = replace(state, solves=state.solves + 1)
    return _solved(state) if state.solves % IDLE_TURNS == 0 else _solved(state, state.answering)


def _columns(state: Challenger, target: Floats) -> NDArray[np.float32]:
    classes = state.shape.classes
    if not classes:
        scaling = state.target_scaling
        with np.errstate(over="ignore"):
            return np.clip((target - scaling.centre) / scaling.scale, -CLIP, CLIP).astype(np.float32)[:, None]
    columns = np.full((len(target), classes), -1.0 / classes, dtype=np.float32)
    columns[np.arange(len(target)), target.astype(np.int64)] += 1.0
    return columns


def _solved(state: Challenger, only: int | None = None) -> Challenger:
    """It with the coefficients of all its sums (or of one memory's), or afresh when they give none."""
    chosen = slice(None) if only is None else slice(only, only + 1)
    coefficients, moments = state.coefficients.copy(), state.moments[chosen].copy()
    diagonal = np.arange(state.shape.width)
    moments[:, diagonal, diagonal] += RIDGE
    try:
        coefficients[chosen] = np.linalg.solve(moments, state.products[chosen])
    except np.linalg.LinAlgError:
        coefficients[chosen] = np.nan
    if np.isfinite(coefficients).all() and np.isfinite(state.misses).all():
        return replace(state, coefficients=coefficients, unsolved=0)
    longest = state.memories[0]
    shares = tuple(memory / longest for memory in state.memories)
    return replace(fresh(state.shape, longest, state.seed, shares), restarts=state.restarts + 1)


def _rescaled(state: Challenger, matrix: Matrix, target: Floats, *, everything: bool = False) -> Challenger:
    """It with these rows' scaling for what has left its place (or everything), and a new block begun."""
    shape, before = state.shape, state.scaling
    state = replace(state, block=state.block[:0], block_target=state.block_target[:0])
    if not shape.classes:
        state = _target_rescaled(state, target, everything=everything)
    seen = _followed(state, state.lately, seen_scaling(matrix.astype(np.float64), state.lately), everything=everything)
    moved = (seen.moved_from(before) | everything) & shape.numbers
    state = replace(state, lately=seen)
    if not moved.any():
        return state
    state = replace(state, scaling=seen.where(moved, before))
    if not state.rows:
        return state
    carried = _carried(shape, before, state.scaling)
    moments = carried @ state.moments @ carried.T
    # Symmetric to the last bit, as a half of it is kept.
    moments = (moments + moments.transpose(0, 2, 1)) / 2.0
    return _solved(replace(state, moments=moments, products=carried @ state.products))


def _followed(state: Challenger, lately: Scaling, newer: Scaling, *, everything: bool) -> Scaling:
    return newer if everything else lately.followed_by(newer, 1.0 - float(np.exp(-BLOCK / max(state.memories))))


def _carried(shape: Shape, before: Scaling, after: Scaling) -> Floats:
    """From regressors under one scaling to those under another: the linear terms follow, cosines are 0 as if never seen."""
    carried = np.eye(shape.width)
    carried[:, -COSINES:] = 0.0
    if shape.folded:
        carried[:, 1:] = 0.0
        return carried
    missing_from = 1 + shape.unfolded - len(shape.kinds)
    for column, place in enumerate(shape.plain, start=1):
        shift = (before.centre[place] - after.centre[place]) / after.scale[place]
        ratio = before.scale[place] / after.scale[place]
        near = abs(shift) <= FAR and ratio <= FAR
        # Rows so far away (another unit, say) would outweigh all that come: what they taught of this feature goes.
        carried[column, column] = ratio if near else 0.0
        carried[column, 0] = shift if near else 0.0
        # A missing value is at the centre before and after.
        carried[column, missing_from + place] = -shift if near else 0.0
    return carried


def _target_rescaled(state: Challenger, target: Floats, *, everything: bool) -> Challenger:
    before = state.target_scaling
    after = _followed(state, state.target_lately, seen_scaling(target[:, None], state.target_lately), everything=everything)
    state = replace(state, target_lately=after)
    if not (everything or after.moved_from(before)[0]):
        return state
    shift, ratio = (before.centre - after.centre) / after.scale, before.scale / after.scale
    if max(abs(shift[0]), ratio[0]) > FAR:
        nothing = replace(state, moments=np.zeros_like(state.moments), products=np.zeros_like(state.products))
        return _solved(replace(nothing, target_scaling=after))
    products = state.products * ratio + state.moments[:, :, :1] * shift
    return _solved(replace(state, target_scaling=after, products=products))
