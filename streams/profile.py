"""The reference of a release: what its rows looked like when it was trained, as counts on the contract's grid."""

from __future__ import annotations

import msgspec


class FeatureProfile(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by grid bin over the reference rows, in time order where dependence was measured."""

    feature: str
    bins: dict[int, int]
    missing: int
    design_effect: float = 1.0
    """How many dependent rows count as one independent (>= 1)."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """Reference of every feature and of the prediction, and the detectors' thresholds that follow from it."""

    model: str
    contract: str
    rows: int
    features: tuple[FeatureProfile, ...]
    outputs: dict[int, int] = {}
    """Prediction distribution on the reference."""
    output_design_effect: float = 1.0
    thresholds: dict[str, float] = {}
    """By stream name, at the declared false-alarm rate."""
    schema: int = 1
