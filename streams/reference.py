"""The reference of a release, from the rows it was trained on: counts on the contract's grid and their dependence in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from streams.contract import NUMBER, Contract, FeatureContract, TargetContract, bin_of, output_bin, violation
from streams.design_effect import design_effect
from streams.events import Scalar
from streams.profile import FeatureProfile, Profile
from streams.reference_scores import alternatives, reference_bins


def reference_profile(
    *,
    model: str,
    contract_digest: str,
    contract: Contract,
    columns: Mapping[str, Sequence[Scalar]],
    outputs: Sequence[float],
) -> Profile:
    """Profile of reference rows in time order: one column per feature of the contract, one output (as served) per row.

    A shuffled reference has no dependence, so detectors fitted to it would trust a dependent stream too much: keep the order.
    Raises ValueError when columns are missing or of different length.
    """
    rows = len(outputs)
    for feature in contract.features:
        if len(columns.get(feature.name, ())) != rows:
            found = f"{len(columns[feature.name])} rows" if feature.name in columns else "no column"
            raise ValueError(
                f"feature {feature.name!r} of model {model!r} has {found}, wanted {rows}: pass every feature, row by row"
            )
    output_bins = [output_bin(contract.target, value) for value in outputs]
    return Profile(
        model=model,
        contract=contract_digest,
        rows=rows,
        features=tuple(_feature_profile(feature, columns[feature.name]) for feature in contract.features),
        outputs=dict(sorted(Counter(output_bins).items())),
        output_design_effect=_dependence(output_bins, ordered=_ordered(contract.target)),
    )


def _feature_profile(feature: FeatureContract, values: Sequence[Scalar]) -> FeatureProfile:
    """Counts of one feature; a value that has no bin counts as missing, as it does to the detectors."""
    present = [place for value in values if (place := _grid_bin(feature, value)) is not None]
    return FeatureProfile(
        feature=feature.name,
        bins=dict(sorted(Counter(present).items())),
        missing=len(values) - len(present),
        design_effect=_dependence(present, ordered=feature.kind == NUMBER),
    )


def _grid_bin(feature: FeatureContract, value: Scalar) -> int | None:
    if value is None or violation(feature, value) in {"type", "not_finite"}:
        return None
    try:
        return bin_of(feature, value)
    except OverflowError:  # finite, but beyond the grid's last number
        return None


def _ordered(target: TargetContract) -> bool:
    return target.task == "regression"


def _dependence(grid: Sequence[int], *, ordered: bool) -> float:
    """The second largest design effect over the scores of all alternatives: the largest alone is often its own noise."""
    counts = Counter(grid)
    if len(counts) < 2:
        return 1.0
    bins = reference_bins(counts, ordered=ordered)
    watched = alternatives(bins, bins.group(counts))
    if not watched.names:
        return 1.0
    place = {grid_bin: bins.index(grid_bin) for grid_bin in counts}
    series = watched.table()[np.array([place[grid_bin] for grid_bin in grid])]
    effects = sorted(design_effect(series), reverse=True)
    return float(effects[min(1, len(effects) - 1)])
