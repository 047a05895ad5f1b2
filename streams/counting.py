"""What one window counts for one model: integers with sorted keys, so that the same records give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from streams.contract import Contract, bin_of, output_bin, violation
from streams.events import UNIT, ArmOutput, FeatureCounts, LossCounts, MadeCounts, PairCounts, Predicted, ServedCounts
from streams.lake_row import LabelRow
from streams.scoring import ArmLoss

BINS_PER_DOUBLING: Final = 16

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = timedelta(minutes=1)


def latency_bin(us: int) -> int:
    """Log bin of a latency in microseconds: 16 bins to a doubling, 4.4 % wide.

    >>> latency_bin(0), latency_bin(1), latency_bin(2), latency_bin(1000)
    (0, 0, 16, 159)
    """
    return math.floor(math.log2(us) * BINS_PER_DOUBLING) if us > 1 else 0


def minute_of(at: datetime) -> int:
    """Minutes since 1970, rounded down."""
    return (at - _EPOCH) // _MINUTE


@dataclass(slots=True)
class _Served:
    answered: int = 0
    scored: int = 0
    failures: int = 0
    late: int = 0
    latency: dict[int, int] = field(default_factory=dict)
    outputs: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Binned:
    bins: dict[int, int] = field(default_factory=dict)
    missing: int = 0
    invalid: int = 0


@dataclass(slots=True)
class ModelCounts:
    """What one window counts for one model."""

    at: datetime
    rows: int = 0
    repeated: int = 0
    served: dict[tuple[str, str, int, int], _Served] = field(default_factory=dict)
    made: dict[tuple[int, str], int] = field(default_factory=dict)
    features: dict[str, dict[str, _Binned]] = field(default_factory=dict)
    losses: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    pairs: dict[tuple[int, int, str, str, str], list[int]] = field(default_factory=dict)
    quarantined_rows: int = 0
    quarantined: dict[str, dict[str, _Binned]] = field(default_factory=dict)

    def add_prediction(self, predicted: Predicted, contract: Contract) -> None:
        """Count one row: who answered and scored it, and where its values lie (apart, if it is in quarantine)."""
        self.rows += 1
        self.quarantined_rows += predicted.quarantined
        self.at = max(self.at, predicted.at)
        self._add_served(predicted)
        if not predicted.quarantined:
            self._add_outputs(predicted, contract)
        _add_features(self.quarantined if predicted.quarantined else self.features, predicted, contract)

    def add_label(self, row: LabelRow, losses: Sequence[ArmLoss]) -> None:
        """Count the losses of one labelled row, each arm's and those of every arm against the champion; none in quarantine."""
        self.rows += 1
        self.at = max(self.at, row.labelled.at)
        if row.sealed.quarantined:
            self.quarantined_rows += 1
            return
        minute = minute_of(row.sealed.at)
        counted: set[str] = set()
        for arm in losses:
            if arm.release not in counted:
                counted.add(arm.release)
                sums = self.losses.setdefault((minute, arm.release), [0, 0, 0])
                sums[0] += 1
                sums[1] += round(arm.loss * UNIT)
                sums[2] += round(arm.loss * arm.loss * UNIT)
        self._add_pairs(row, losses)

    def add_repeat(self, at: datetime) -> None:
        """Count one row that came before."""
        self.repeated += 1
        self.at = max(self.at, at)

    def served_counts(self) -> tuple[ServedCounts, ...]:
        """By release, arm, generation and step."""
        return tuple(
            ServedCounts(
                release=release,
                arm=arm,
                generation=generation,
                step=step,
                answered=one.answered,
                scored=one.scored,
                failures=one.failures,
                late=one.late,
                latency=_sorted(one.latency),
                outputs=_sorted(one.outputs),
            )
            for (release, arm, generation, step), one in sorted(self.served.items(), key=lambda item: item[0])
        )

    def made_counts(self) -> tuple[MadeCounts, ...]:
        """By minute and release."""
        return tuple(MadeCounts(minute=minute, release=release, n=n) for (minute, release), n in sorted(self.made.items()))

    def feature_counts(self) -> tuple[FeatureCounts, ...]:
        """By contract and feature."""
        return _feature_counts(self.features)

    def quarantined_counts(self) -> tuple[FeatureCounts, ...]:
        """Those of the predictions in quarantine, by contract and feature."""
        return _feature_counts(self.quarantined)

    def loss_counts(self) -> tuple[LossCounts, ...]:
        """By minute of the prediction and release."""
        return tuple(
            LossCounts(minute=minute, release=release, n=n, loss=loss, loss_squared=squared)
            for (minute, release), (n, loss, squared) in sorted(self.losses.items())
        )

    def pair_counts(self) -> tuple[PairCounts, ...]:
        """By generation, step, arm and the two releases."""
        return tuple(
            PairCounts(
                generation=generation,
                step=step,
                arm=arm,
                release=release,
                champion=champion,
                n=n,
                worse=worse,
                better=better,
                difference=difference,
                difference_squared=squared,
            )
            for (generation, step, arm, release, champion), (n, worse, better, difference, squared) in sorted(self.pairs.items())
        )

    def _add_served(self, predicted: Predicted) -> None:
        """What each arm did with the row."""
        for output in predicted.outputs:
            served = self._served(predicted, output)
            if output.value is None:
                served.late += output.failure == "late"
                served.failures += output.failure != "late"
                continue
            served.scored += 1
            if output.arm == predicted.arm and output.release == predicted.release:
                served.answered += 1
                _add(served.latency, latency_bin(predicted.latency_us))

    def _add_outputs(self, predicted: Predicted, contract: Contract) -> None:
        """What each arm said, and for which releases the row was made: one that is two arms made it once."""
        minute = minute_of(predicted.at)
        valid: set[str] = set()
        for output in predicted.outputs:
            if output.value is None:
                continue
            _add(self._served(predicted, output).outputs, output_bin(contract.target, output.value))
            if output.release not in valid:
                valid.add(output.release)
                made = (minute, output.release)
                self.made[made] = self.made.get(made, 0) + 1

    def _served(self, predicted: Predicted, output: ArmOutput) -> _Served:
        key = (output.release, output.arm, predicted.generation, predicted.step)
        served = self.served.get(key)
        if served is None:
            served = self.served[key] = _Served()
        return served

    def _add_pairs(self, row: LabelRow, losses: Sequence[ArmLoss]) -> None:
        champion = next((arm for arm in losses if arm.arm == "champion"), None)
        if champion is None:
            return
        for arm in losses:
            if arm.arm != "champion":
                key = (row.sealed.generation, row.sealed.step, arm.arm, arm.release, champion.release)
                difference = arm.loss - champion.loss
                sums = self.pairs.setdefault(key, [0, 0, 0, 0, 0])
                sums[0] += 1
                sums[1] += difference > 0
                sums[2] += difference < 0
                sums[3] += round(difference * UNIT)
                sums[4] += round(difference * difference * UNIT)


def _add_features(counted: dict[str, dict[str, _Binned]], predicted: Predicted, contract: Contract) -> None:
    columns = counted.get(predicted.contract)
    if columns is None:
        columns = counted[predicted.contract] = {feature.name: _Binned() for feature in contract.features}
    for feature in contract.features:
        value = predicted.features.get(feature.name)
        column = columns[feature.name]
        if value is None:
            column.missing += 1
        elif violation(feature, value) in {"type", "not_finite"}:
            column.invalid += 1
        else:
            try:
                _add(column.bins, bin_of(feature, value))
            except OverflowError:  # finite, but beyond the grid's last number
                column.invalid += 1


def _feature_counts(counted: dict[str, dict[str, _Binned]]) -> tuple[FeatureCounts, ...]:
    return tuple(
        FeatureCounts(contract=contract, feature=feature, bins=_sorted(one.bins), missing=one.missing, invalid=one.invalid)
        for contract, columns in sorted(counted.items(), key=lambda item: item[0])
        for feature, one in sorted(columns.items(), key=lambda item: item[0])
    )


def _add(bins: dict[int, int], index: int) -> None:
    bins[index] = bins.get(index, 0) + 1


def _sorted(bins: dict[int, int]) -> dict[int, int]:
    return dict(sorted(bins.items()))
