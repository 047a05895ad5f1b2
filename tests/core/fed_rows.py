"""A feed of rows for stories of the triage: windows of one or more features, spoilt on request, marked as serving would mark them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import numpy as np

from drift.monitoring import ModelKnown, Signal, State, advance
from streams.contract import Contract, FeatureContract, TargetContract, bin_of
from streams.events import FeatureCounts, MadeCounts, QualityIncident, QuarantineRule, ServedCounts, WindowCounted
from streams.policy import DriftPolicy, Policy, QuarantinePolicy, StalenessPolicy
from streams.profile import Profile
from streams.quarantine import matches
from streams.reference import reference_profile
from tests.core.window_log import CONTRACT, MODEL, START, Windows, served_counts

Values = Sequence[float | None]
TARGET = TargetContract(name="y", task="classification", classes=("0", "1"))


def contract_of(*features: FeatureContract) -> Contract:
    """Of the model of these stories."""
    return Contract(model=MODEL, features=features, target=TARGET)


def reference_of(contract: Contract, columns: Mapping[str, Values]) -> Profile:
    """Profile of a reference in time order; outputs half and half."""
    rows = len(next(iter(columns.values())))
    outputs = [float(row % 2) for row in range(rows)]
    return reference_profile(model=MODEL, contract_digest=CONTRACT, contract=contract, columns=columns, outputs=outputs)


def policy_of(*, quarantine: bool = True, log: dict[str, str] | None = None) -> Policy:
    """Periods of an hour, detectors that arm after 100 rows."""
    return Policy(
        staleness=StalenessPolicy(period=timedelta(hours=1)),
        drift=DriftPolicy(false_alarm_every_rows=10_000, burn_in_rows=100),
        quarantine=QuarantinePolicy(enabled=quarantine),
        log=log or {},
    )


class Feed:
    """Rows of a model, a minute each, folded window by window.

    `serving` None: rules never arrive there; else they do so many windows after they are known.
    """

    def __init__(
        self,
        contract: Contract,
        reference: Profile,
        *,
        champion: str = "r1",
        policy: Policy | None = None,
        serving: int | None = 0,
    ) -> None:
        self.contract = contract
        self.policy = policy or policy_of()
        self.cut = Windows()
        self.state = State()
        self.signals: list[Signal] = []
        self.row = 0
        self.serving = serving
        self._rules: list[tuple[int, QuarantineRule]] = []
        self.learn(champion, reference)

    @property
    def at(self) -> datetime:
        """Event time of the newest row."""
        return START + timedelta(minutes=self.row - 1)

    @property
    def incidents(self) -> list[QualityIncident]:
        """What the triage called."""
        return [one for one in self.signals if isinstance(one, QualityIncident)]

    def learn(
        self,
        champion: str,
        reference: Profile,
        *,
        accepted: tuple[str, ...] = (),
        released: tuple[str, ...] = (),
        policy: Policy | None = None,
    ) -> None:
        """What the agents are told between two windows."""
        self.policy = policy or self.policy
        known = self.state.models.get(MODEL)
        generation = 1 if known is None else known.generation + (champion != known.champion)
        self.item = ModelKnown(
            model=MODEL, policy=self.policy, generation=generation, champion=champion, profile=reference, contract=self.contract,
            accepted=accepted, released=released,
        )  # fmt: skip
        self.state, _ = advance(self.state, self.item)

    def take(self, columns: Mapping[str, Values], *, rows: int = 24, partitions: int = 1) -> list[QualityIncident]:
        """Fold these rows in windows of so many, in turn on each partition; returns what was called."""
        before = len(self.incidents)
        total = len(next(iter(columns.values())))
        for first in range(0, total, rows):
            window = self.window({name: values[first : first + rows] for name, values in columns.items()}, partitions)
            self.fold(window)
        return self.incidents[before:]

    def fold(self, window: WindowCounted) -> None:
        """One window; rules that follow reach serving in due time."""
        self.state, told = advance(self.state, window)
        self.signals += told
        for one in told:
            if isinstance(one, QualityIncident):
                self._rules = [(tick, rule) for tick, rule in self._rules if rule.incident != one.rule.incident]
                if not one.closed and self.serving is not None:
                    self._rules.append((self.cut.tick + self.serving, one.rule))

    def window(self, columns: Mapping[str, Values], partitions: int = 1) -> WindowCounted:
        """The next rows as one window, those that a rule at serving matches in quarantine."""
        total = len(next(iter(columns.values())))
        spoilt = [self._is_marked({name: values[row] for name, values in columns.items()}) for row in range(total)]
        minutes = [int(START.timestamp()) // 60 + self.row + row for row in range(total)]
        self.row += total
        healthy = [row for row in range(total) if not spoilt[row]]
        release = self.state.models[MODEL].champion
        window = self.cut.window(
            "predictions",
            self.cut.tick % partitions,
            rows=total,
            made=tuple(MadeCounts(minute=minutes[row], release=release, n=1) for row in healthy),
            features=self._counts(columns, healthy),
            served=(self._served(release, total, len(healthy)),),
        )
        marked = [row for row in range(total) if spoilt[row]]
        return msgspec.structs.replace(
            window, at=self.at, quarantined_rows=len(marked), quarantined=self._counts(columns, marked) if marked else ()
        )

    def _served(self, release: str, total: int, healthy: int) -> ServedCounts:
        served = served_counts(release, "champion", total, generation=self.state.models[MODEL].generation)
        return msgspec.structs.replace(served, outputs={0: healthy // 2, 1: healthy - healthy // 2})

    def _counts(self, columns: Mapping[str, Values], rows: Sequence[int]) -> tuple[FeatureCounts, ...]:
        counts = []
        for feature in self.contract.features:
            values = [columns[feature.name][row] for row in rows]
            bins = Counter(bin_of(feature, value) for value in values if value is not None)
            missing = sum(value is None for value in values)
            counts.append(
                FeatureCounts(
                    contract=CONTRACT, feature=feature.name, bins=dict(sorted(bins.items())), missing=missing, invalid=0
                )
            )
        return tuple(counts) if rows else ()

    def _is_marked(self, row: Mapping[str, float | None]) -> bool:
        features = {feature.name: feature for feature in self.contract.features}
        return any(
            matches(rule, features[rule.feature], row[rule.feature]) for tick, rule in self._rules if self.cut.tick >= tick
        )


def numbers(array: np.ndarray) -> list[float | None]:
    """Values as they are served."""
    return [None if np.isnan(value) else float(value) for value in array]
