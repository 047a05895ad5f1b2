"""How much worse the champion is than a fresh model, estimated from its losses against a reference (a challenger, or 0).

    D_t = m + e_t + noise     m: a fresh champion against the reference; kept across trainings
                              e: excess loss of the champion over a fresh model; 0 at a training
    e_{t+1} = e_t + g_t + step,  g_{t+1} = DAMP * g_t + step;  g (how fast models go stale here) is kept across trainings

There are two kinds of champion, trained models and frozen challengers, and an m for each: a frozen challenger starts as what it
is measured against, a trained model has its own distance to it.

Four Kalman filters, which differ in how large a step of e they expect, are weighted by their recent predictive
likelihood: slow ones win in calm, fast ones at jumps. Plain floats in a fixed order, so that every machine folds alike.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

SPEEDS: Final = (0.0, 0.003, 0.03, 0.3)
"""Variance of a step of e, as a share of the noise of D."""
FRESH: Final = 0.25
"""Variance of e right after a training (luck of a fit), as a share of the noise."""
GROWTH: Final = 0.3
"""Variance of g before anything is known, as a share of the noise."""
TURN: Final = 1e-4
WANDER: Final = 1e-4
"""Variances of a step of g and of m, as shares of the noise."""
DAMP: Final = 0.95
FORGET: Final = 0.95
"""Memory of the filters' weights, per period."""
LEAST_NOISE: Final = 1e-12
LARGEST: Final = 1e12
"""Of any number here: losses lie in [0, 1]."""
NOISE_MEMORY: Final = 60.0
"""Periods over which the noise is averaged."""

Vector = tuple[float, float, float]
Matrix = tuple[Vector, Vector, Vector]


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """One filter: mean and covariance of (m, e, g), and its log weight."""

    mean: Vector = (0.0, 0.0, 0.0)
    covariance: Matrix = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    log_weight: float = 0.0


class OtherKind(msgspec.Struct, frozen=True, kw_only=True):
    """m of the kind of champion that does not serve now: its mean and variance in one filter."""

    mean: float = 0.0
    variance: float = 0.0


class Excess(msgspec.Struct, frozen=True, kw_only=True):
    """The estimate. `noise` is the variance of D in a usual period; 0: nothing observed yet."""

    tracks: tuple[Track, ...] = (Track(),) * len(SPEEDS)
    noise: float = 0.0
    noise_count: float = 20.0
    usual_rows: float = 0.0
    previous: float | None = None
    """D one period earlier under the same champion."""
    frozen: bool = False
    """The champion is a frozen challenger."""
    others: tuple[OtherKind, ...] = ()
    """By filter; empty: only one kind has served so far."""

    def weights(self) -> tuple[float, ...]:
        """Weight of each filter; they add up to 1."""
        top = max(track.log_weight for track in self.tracks)
        raw = [math.exp(track.log_weight - top) for track in self.tracks]
        total = sum(raw)
        return tuple(weight / total for weight in raw)

    def present(self) -> tuple[float, float, float]:
        """e now, its standard deviation (spread of the filters included), and g."""
        weights = self.weights()
        excess = sum(w * t.mean[1] for w, t in zip(weights, self.tracks, strict=True))
        growth = sum(w * t.mean[2] for w, t in zip(weights, self.tracks, strict=True))
        variance = sum(w * (t.covariance[1][1] + (t.mean[1] - excess) ** 2) for w, t in zip(weights, self.tracks, strict=True))
        return excess, math.sqrt(max(variance, 0.0)), growth

    def beyond_other_kind(self) -> tuple[float, float]:
        """m of the champion's kind less m of the other kind, and the standard deviation of the excess over a fresh one of the other."""
        weights, tracks = self.weights(), self.tracks
        others = self.others or (self.first_of_other_kind(),) * len(tracks)
        mine = sum(w * t.mean[0] for w, t in zip(weights, tracks, strict=True))
        theirs = sum(w * o.mean for w, o in zip(weights, others, strict=True))
        seen = sum(w * (t.mean[0] + t.mean[1]) for w, t in zip(weights, tracks, strict=True))
        variance = sum(
            w * (_of_sum(t.covariance) + (t.mean[0] + t.mean[1] - seen) ** 2 + o.variance + (o.mean - theirs) ** 2)
            for w, t, o in zip(weights, tracks, others, strict=True)
        )
        return mine - theirs, math.sqrt(max(variance, 0.0))

    def first_of_other_kind(self) -> OtherKind:
        """What is known of the other kind before any served."""
        # The first frozen challenger is the reference itself, up to luck; a trained model that nobody knows may be anything.
        return OtherKind(variance=(100.0 if self.frozen else FRESH) * self.noise)


def observe(state: Excess, *, rows: int, difference: float, row_variance: float, first_of_champion: bool) -> Excess:
    """Learn one period: mean difference over `rows` labelled rows, and the variance of one row's difference (used once, at the start)."""
    noise, count, usual = state.noise, state.noise_count, state.usual_rows
    tracks = state.tracks
    if noise == 0.0:
        noise, usual = _first_variance(row_variance, rows) / rows, float(rows)
        prior = ((100.0 * noise, 0.0, 0.0), (0.0, FRESH * noise, 0.0), (0.0, 0.0, GROWTH * noise))
        tracks = tuple(msgspec.structs.replace(track, covariance=prior) for track in tracks)
    if not first_of_champion:
        tracks = tuple(_predict(track, speed, noise) for track, speed in zip(tracks, SPEEDS, strict=True))
        if state.previous is not None:
            # Half the squared difference of neighbours: blind to trend, sees autocorrelation. Bounded: a jump is not noise.
            noise += (min((difference - state.previous) ** 2 / 2.0, 9.0 * noise) - noise) / count
        count = min(count + 1.0, NOISE_MEMORY)
    noise = max(noise, LEAST_NOISE)  # a perfect model is no proof that it stays one
    observed_noise = noise * usual / rows
    updated = [_update(track, difference, observed_noise) for track in tracks]
    top = max(track.log_weight for track in updated)
    return msgspec.structs.replace(
        state,
        tracks=tuple(msgspec.structs.replace(track, log_weight=track.log_weight - top) for track in updated),
        noise=noise,
        noise_count=count,
        usual_rows=usual + (rows - usual) / 20.0,
        previous=difference,
    )


def _first_variance(row_variance: float, rows: int) -> float:
    # A first period in which nothing differed is no proof that nothing ever does: one row in so many, and one more, might have.
    share = 1.0 / (rows + 2)
    return row_variance if row_variance > 0.0 else share * (1.0 - share)


def impossible(state: Excess) -> str:
    """What no estimate of ours can be; '' when it can."""
    if len(state.tracks) != len(SPEEDS) or len(state.others) not in (0, len(SPEEDS)):
        return f"its excess has {len(state.tracks)} filters and {len(state.others)} of the other kind; there are {len(SPEEDS)}"
    numbers = [state.noise, state.noise_count, state.usual_rows, state.previous or 0.0]
    numbers += [number for track in state.tracks for number in (*track.mean, track.log_weight, *_flat(track.covariance))]
    numbers += [number for other in state.others for number in (other.mean, other.variance)]
    if not all(abs(number) <= LARGEST for number in numbers):
        return "its excess has numbers that are not finite, or absurd"
    variances = [track.covariance[place][place] for track in state.tracks for place in range(3)]
    variances += [other.variance for other in state.others]
    if min(state.noise, state.usual_rows, *variances) < -LEAST_NOISE or state.noise_count < 1.0:
        return "its excess has a variance or a count below what there is"
    return ""


def fresh_champion(state: Excess, *, frozen: bool = False) -> Excess:
    """A new champion serves: e starts at 0 with the luck of a fit as its variance; g is kept, and the m of its kind."""
    luck = FRESH * state.noise
    tracks = tuple(_without_excess(track, luck) for track in state.tracks)
    if frozen == state.frozen:
        return msgspec.structs.replace(state, tracks=tracks, previous=None)
    mine = tuple(OtherKind(mean=track.mean[0], variance=track.covariance[0][0]) for track in tracks)
    theirs = state.others or (state.first_of_other_kind(),) * len(tracks)
    known = tuple(_with_distance(track, other) for track, other in zip(tracks, theirs, strict=True))
    return msgspec.structs.replace(state, tracks=known, previous=None, frozen=frozen, others=mine)


def _predict(track: Track, speed: float, noise: float) -> Track:
    m, e, g = track.mean
    (mm, me, mg), (_, ee, eg), (_, _, gg) = track.covariance
    # F P F' with F = [[1,0,0],[0,1,1],[0,0,DAMP]], written out.
    new_me, new_mg = me + mg, DAMP * mg
    new_ee, new_eg, new_gg = ee + 2.0 * eg + gg, DAMP * (eg + gg), DAMP * DAMP * gg
    new_mm = mm + WANDER * noise
    new_ee += speed * noise
    new_gg += TURN * noise
    return Track(
        mean=(m, e + g, DAMP * g),
        covariance=((new_mm, new_me, new_mg), (new_me, new_ee, new_eg), (new_mg, new_eg, new_gg)),
        log_weight=track.log_weight,
    )


def _update(track: Track, difference: float, noise: float) -> Track:
    covariance = track.covariance
    column = tuple(row[0] + row[1] for row in covariance)  # P h with h = (1, 1, 0)
    variance = column[0] + column[1] + noise
    residual = difference - track.mean[0] - track.mean[1]
    gain = tuple(value / variance for value in column)
    rows = [tuple(covariance[i][j] - gain[i] * column[j] for j in range(3)) for i in range(3)]
    mean = tuple(value + k * residual for value, k in zip(track.mean, gain, strict=True))
    return Track(
        mean=(mean[0], mean[1], mean[2]),
        covariance=(_vector(rows[0]), _vector(rows[1]), _vector(rows[2])),
        log_weight=FORGET * track.log_weight - 0.5 * (math.log(variance) + min(residual * residual / variance, 16.0)),
    )


def _flat(covariance: Matrix) -> tuple[float, ...]:
    return (*covariance[0], *covariance[1], *covariance[2])


def _of_sum(covariance: Matrix) -> float:
    """Variance of m + e."""
    return covariance[0][0] + 2.0 * covariance[0][1] + covariance[1][1]


def _without_excess(track: Track, variance: float) -> Track:
    (mm, _, mg), _, (_, _, gg) = track.covariance
    return msgspec.structs.replace(
        track,
        mean=(track.mean[0], 0.0, track.mean[2]),
        covariance=((mm, 0.0, mg), (0.0, variance, 0.0), (mg, 0.0, gg)),
    )


def _with_distance(track: Track, other: OtherKind) -> Track:
    (_, _, _), (_, ee, _), (_, _, gg) = track.covariance
    return msgspec.structs.replace(
        track,
        mean=(other.mean, track.mean[1], track.mean[2]),
        covariance=((other.variance, 0.0, 0.0), (0.0, ee, 0.0), (0.0, 0.0, gg)),
    )


def _vector(values: tuple[float, ...]) -> Vector:
    return values[0], values[1], values[2]
