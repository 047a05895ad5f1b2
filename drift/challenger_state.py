"""All that a challenger knows, and its bytes: data only, the same later answers after a round trip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from drift.challenger_encoding import COSINES, Mixtures, Shape, first_scaling, mixtures_of
from drift.challenger_scaling import Scaling, told_scaling
from streams.encoding import Matrix

Floats = NDArray[np.float64]

SHARES: Final = (1.0, 0.25)
"""Memories, as shares of the longest: after a change a short one is right again sooner, in calm a long one is better."""
_SCHEMA: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """All that it knows. The first axis of the sums is the memory."""

    shape: Shape
    seed: int
    memories: tuple[float, ...]
    """In rows."""
    mixtures: Mixtures
    scaling: Scaling
    """By which rows are read."""
    lately: Scaling
    """What the newest rows show, with the longest memory."""
    target_scaling: Scaling
    """Of a number; one column."""
    target_lately: Scaling
    moments: Floats
    """Products of regressors, weighted by age."""
    products: Floats
    """Regressors times target columns."""
    coefficients: Floats
    misses: Floats
    """Squared misses of each memory lately."""
    rows: int
    """Learnt since the start."""
    unsolved: int
    """Learnt since the coefficients were found."""
    solves: int
    block: Matrix
    block_target: Floats
    restarts: int = 0
    """How often it diverged and started afresh."""

    @property
    def answering(self) -> int:
        """The memory that missed least lately."""
        return int(self.misses.argmin())


def fresh(shape: Shape, memory_rows: float, seed: int = 0, shares: tuple[float, ...] = SHARES) -> Challenger:
    """One that knows nothing; `memory_rows` is best the number of rows that a training learns from.

    >>> from drift.challenger import predict, predicted_then_learnt, warmed
    >>> rows = np.linspace(-1, 1, 400, dtype=np.float32)[:, None]
    >>> state = warmed(fresh(Shape(kinds=("number",), classes=2), memory_rows=500), rows, (rows[:, 0] > 0).astype(float))
    >>> predict(state, np.array([[-0.5], [0.5]], dtype=np.float32))[0].tolist()
    [0.0, 1.0]
    >>> state, losses = predicted_then_learnt(state, np.array([[0.5], [0.6]], dtype=np.float32), np.array([1.0, 0.0]))
    >>> losses.tolist()
    [0.0, 1.0]
    """
    width, memories = shape.width, tuple(max(memory_rows * share, 1.0) for share in shares)
    return Challenger(
        shape=shape,
        seed=seed,
        memories=memories,
        mixtures=mixtures_of(shape, seed),
        scaling=first_scaling(shape),
        lately=first_scaling(shape),
        target_scaling=told_scaling((0.0,), (shape.target_scale,)),
        target_lately=told_scaling((0.0,), (shape.target_scale,)),
        moments=np.zeros((len(memories), width, width)),
        products=np.zeros((len(memories), width, shape.outputs)),
        coefficients=np.zeros((len(memories), width, shape.outputs)),
        misses=np.zeros(len(memories)),
        rows=0,
        unsolved=0,
        solves=0,
        block=np.empty((0, len(shape.kinds)), dtype=np.float32),
        block_target=np.empty(0),
    )


class UnreadableChallenger(ValueError):
    """The bytes are no challenger of this version."""


class _Stored(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Arrays little-endian in C order; of the moments, which are symmetric, the upper triangles."""

    schema: int
    kinds: tuple[str, ...]
    classes: int
    target_scale: float
    centres: tuple[float, ...]
    scales: tuple[float, ...]
    seed: int
    memories: tuple[float, ...]
    rows: int
    unsolved: int
    solves: int
    restarts: int
    fold: bytes
    weights: bytes
    phases: bytes
    scalings: bytes
    target_scalings: bytes
    moments: bytes
    products: bytes
    coefficients: bytes
    misses: bytes
    block: bytes
    block_target: bytes


def encode(state: Challenger) -> bytes:
    """Its bytes: at most some 3 MB, and a number of its features and classes more."""
    upper = np.triu_indices(state.shape.width)
    return msgspec.msgpack.encode(
        _Stored(
            schema=_SCHEMA,
            kinds=state.shape.kinds,
            classes=state.shape.classes,
            target_scale=state.shape.target_scale,
            centres=state.shape.centres,
            scales=state.shape.scales,
            seed=state.seed,
            memories=state.memories,
            rows=state.rows,
            unsolved=state.unsolved,
            solves=state.solves,
            restarts=state.restarts,
            fold=_bytes(state.mixtures.fold),
            weights=_bytes(state.mixtures.weights),
            phases=_bytes(state.mixtures.phases),
            scalings=_bytes(_stacked(state.scaling, state.lately)),
            target_scalings=_bytes(_stacked(state.target_scaling, state.target_lately)),
            moments=_bytes(state.moments[:, *upper]),
            products=_bytes(state.products),
            coefficients=_bytes(state.coefficients),
            misses=_bytes(state.misses),
            block=_bytes(state.block),
            block_target=_bytes(state.block_target),
        )
    )


def decode(data: bytes) -> Challenger:
    """The challenger of those bytes. Raises UnreadableChallenger."""
    try:
        stored = msgspec.msgpack.decode(data, type=_Stored)
        if stored.schema != _SCHEMA:
            raise UnreadableChallenger(f"a challenger of schema {stored.schema}; wanted {_SCHEMA}: begin anew.")
        return _restored(stored)
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableChallenger(f"{len(data)} bytes are no challenger ({error}): begin anew.") from error


def _restored(stored: _Stored) -> Challenger:
    shape = Shape(
        kinds=stored.kinds,
        classes=stored.classes,
        target_scale=stored.target_scale,
        centres=stored.centres,
        scales=stored.scales,
    )
    width, features, memories = shape.width, len(shape.kinds), len(stored.memories)
    base = width - 1 - COSINES
    upper = np.triu_indices(width)
    moments = np.zeros((memories, width, width))
    moments[:, *upper] = _floats(stored.moments, (memories, len(upper[0])))
    moments[:, *upper[::-1]] = moments[:, *upper]
    block, block_target = _singles(stored.block, (-1, features)), _floats(stored.block_target, (-1,))
    if len(block) != len(block_target):
        raise UnreadableChallenger(f"its block has {len(block)} rows and {len(block_target)} labels")
    scalings, target_scalings = _floats(stored.scalings, (4, features)), _floats(stored.target_scalings, (4, 1))
    return Challenger(
        shape=shape,
        seed=stored.seed,
        memories=stored.memories,
        mixtures=Mixtures(
            fold=_singles(stored.fold, (shape.unfolded, base) if shape.folded else (0, 0)),
            weights=_singles(stored.weights, (base, COSINES)),
            phases=_singles(stored.phases, (COSINES,)),
        ),
        scaling=Scaling(centre=scalings[0], scale=scalings[1]),
        lately=Scaling(centre=scalings[2], scale=scalings[3]),
        target_scaling=Scaling(centre=target_scalings[0], scale=target_scalings[1]),
        target_lately=Scaling(centre=target_scalings[2], scale=target_scalings[3]),
        moments=moments,
        products=_floats(stored.products, (memories, width, shape.outputs)),
        coefficients=_floats(stored.coefficients, (memories, width, shape.outputs)),
        misses=_floats(stored.misses, (memories,)),
        rows=stored.rows,
        unsolved=stored.unsolved,
        solves=stored.solves,
        block=block,
        block_target=block_target,
        restarts=stored.restarts,
    )


def _stacked(scaling: Scaling, lately: Scaling) -> Floats:
    return np.stack([scaling.centre, scaling.scale, lately.centre, lately.scale])


def _bytes(array: Floats | NDArray[np.float32]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _floats(data: bytes, shape: tuple[int, ...]) -> Floats:
    return np.frombuffer(data, dtype="<f8").astype(np.float64).reshape(shape)


def _singles(data: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.frombuffer(data, dtype="<f4").astype(np.float32).reshape(shape)
