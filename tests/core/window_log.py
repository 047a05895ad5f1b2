"""Windows as the monitor would cut them, for stories: each knows its predecessor."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from drift.monitoring import ModelKnown, Signal, State, advance
from streams.contract import Contract, FeatureContract, TargetContract, bin_of
from streams.events import (
    UNIT,
    FeatureCounts,
    LossCounts,
    MadeCounts,
    PairCounts,
    ServedCounts,
    WindowCounted,
    derived_id,
)
from streams.policy import DriftPolicy, Policy, StalenessPolicy
from streams.profile import Profile
from streams.reference import reference_profile

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 60
MODEL = "m"
CONTRACT = "c" * 64
X = FeatureContract(name="x", kind="number")


def minute(hours: float) -> int:
    """Minutes since 1970, so many hours after START."""
    return int((START + timedelta(hours=hours)).timestamp()) // 60


def period(hours: float) -> int:
    """Index of the one-hour period, so many hours after START."""
    return minute(hours) // HOUR


class Windows:
    """Cuts windows of one model, offsets and chain kept."""

    def __init__(self, model: str = MODEL) -> None:
        self.model = model
        self.tick = 0
        self._next: dict[tuple[str, int], int] = {}
        self._last: dict[tuple[str, int], int] = {}

    def window(  # one keyword for each kind of count
        self,
        topic: str,
        partition: int = 0,
        *,
        hours: float = 0.0,
        rows: int = 1,
        made: tuple[MadeCounts, ...] = (),
        losses: tuple[LossCounts, ...] = (),
        pairs: tuple[PairCounts, ...] = (),
        served: tuple[ServedCounts, ...] = (),
        features: tuple[FeatureCounts, ...] = (),
    ) -> WindowCounted:
        """The next window of a partition; every window is in a tick of its own."""
        place = (topic, partition)
        first = self._next.get(place, 0)
        self._next[place] = first + rows
        previous, self._last[place] = self._last.get(place, -1), first
        self.tick += 1
        return WindowCounted(
            id=derived_id(topic, partition, first, self.model),
            at=START + timedelta(hours=hours),
            model=self.model,
            topic=topic,
            partition=partition,
            first_offset=first,
            end_offset=first + rows,
            previous_first_offset=previous,
            tick=self.tick,
            rows=rows,
            made=made,
            losses=losses,
            pairs=pairs,
            served=served,
            features=features,
        )

    def predictions(self, hours: float, n: int, *, release: str = "r1", partition: int = 0) -> WindowCounted:
        """So many predictions made at that time."""
        made = (MadeCounts(minute=minute(hours), release=release, n=n),)
        return self.window("predictions", partition, hours=hours, rows=n, made=made)

    def labels(
        self, hours: float, n: int, *, at: float, wrong: int = 0, release: str = "r1", partition: int = 0
    ) -> WindowCounted:
        """Labels of so many predictions made at `hours`, known at `at`."""
        losses = (LossCounts(minute=minute(hours), release=release, n=n, loss=wrong * UNIT, loss_squared=wrong * UNIT),)
        return self.window("labels", partition, hours=at, rows=n, losses=losses)

    def rollout(self, n: int, *, answered: int = 0, failures: int = 0, step: int = 1, generation: int = 2) -> WindowCounted:
        """So many labelled pairs of candidate r2 and champion r1, and rows that the candidate answered or failed on."""
        pairs = PairCounts(
            generation=generation, step=step, arm="candidate", release="r2", champion="r1", n=n, worse=0, better=n // 2,
            difference=-(n // 2) * UNIT, difference_squared=(n // 2) * UNIT,
        )  # fmt: skip
        served = served_counts("r2", "candidate", answered, failures=failures, step=step, generation=generation)
        return self.window(
            "labels", pairs=(pairs,) if n else (), served=(served,) if answered or failures else (), rows=max(n, 1)
        )

    def features(
        self, values: np.ndarray, *, hours: float = 0.0, partition: int = 0, generation: int = 1, release: str = "r1"
    ) -> WindowCounted:
        """Rows of the one feature x, answered with class 0."""
        bins: dict[int, int] = {}
        for value in values:
            bins[bin_of(X, float(value))] = bins.get(bin_of(X, float(value)), 0) + 1
        counts = FeatureCounts(contract=CONTRACT, feature="x", bins=dict(sorted(bins.items())), missing=0, invalid=0)
        served = served_counts(release, "champion", len(values), generation=generation)
        return self.window("predictions", partition, hours=hours, rows=len(values), features=(counts,), served=(served,))


def served_counts(
    release: str, arm: str, answered: int, *, failures: int = 0, step: int = 0, generation: int = 1
) -> ServedCounts:
    """Rows answered by one arm, each with output 0 in 1 ms."""
    return ServedCounts(
        release=release, arm=arm, generation=generation, step=step, answered=answered, scored=answered, failures=failures, late=0,
        latency={159: answered}, outputs={0: answered},
    )  # fmt: skip


def contract() -> Contract:
    """One number, two classes."""
    return Contract(model=MODEL, features=(X,), target=TargetContract(name="y", task="classification", classes=("0", "1")))


def profile(values: np.ndarray) -> Profile:
    """Reference of the feature x; outputs half and half."""
    outputs = [float(row % 2) for row in range(len(values))]
    columns = {"x": [float(value) for value in values]}
    return reference_profile(model=MODEL, contract_digest=CONTRACT, contract=contract(), columns=columns, outputs=outputs)


def known(
    *, maturity_hours: float = 0.0, generation: int = -1, champion: str = "", reference: Profile | None = None
) -> ModelKnown:
    """Periods of one hour."""
    staleness = StalenessPolicy(period=timedelta(hours=1), maturity=timedelta(hours=maturity_hours))
    drift = DriftPolicy(false_alarm_every_rows=10_000, burn_in_rows=100)
    return ModelKnown(
        model=MODEL,
        policy=Policy(staleness=staleness, drift=drift),
        generation=generation,
        champion=champion,
        profile=reference,
        contract=contract() if reference is not None else None,
    )


def folded(state: State, *items: ModelKnown | WindowCounted) -> tuple[State, list[Signal]]:
    """Fold all, and collect what came out."""
    signals: list[Signal] = []
    for item in items:
        state, made = advance(state, item)
        signals += made
    return state, signals


def shifted_stream(cut: Windows, rng: np.random.Generator) -> list[WindowCounted]:
    """A burn-in, then rows that stand 1.5 sd off."""
    calm = [cut.features(rng.normal(size=50), hours=hour / 10, partition=hour % 2) for hour in range(4)]
    return calm + [cut.features(rng.normal(1.5, size=50), hours=1 + hour / 10, partition=hour % 2) for hour in range(6)]
