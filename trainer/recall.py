"""Recall before retrain: whether a release that served before is proved better than the champion on the newest labelled rows.

Rows depend on each other in time, so a row is no unit of evidence: the rows asked for are cut into BLOCKS blocks, and the sign of
a block's sum is what chance decides. Exact one-sided sign-flip test: the share of all 2**blocks choices of signs whose sum is no
smaller. Under the null (no better; blocks independent of each other and symmetric) it is at most alpha with chance alpha, whatever
happens inside a block. Alpha is divided by the releases tried (Bonferroni): they are judged on the same rows.

Proved is not enough. On so few rows the gate takes a loss of `gate_margin` for none, so a gain below it is none either: the
training that would be foregone is then worth more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

BLOCKS: Final = 16
"""Of the rows asked for: enough for an alpha of 1 % over fifty releases, and as long as they can be."""
_TIE: Final = 1e-9
"""Sums of real losses that differ by less are equal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A release and its losses beside the champion's, on the same rows in time order: those that neither was trained on."""

    release: str
    losses: NDArray[np.float64]
    champion: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallVerdict:
    """The release to serve again, or '' for none; why; and the numbers, by release."""

    release: str
    why: str
    numbers: Mapping[str, float]


def judge(
    tried: Sequence[Tried], *, rows: int, alpha: float, least_gain: float, passed_over: Sequence[str] = ()
) -> RecallVerdict:
    """The release that gains most among those proved better. `rows`: of the newest, at most; `passed_over`: why others were not tried.

    >>> champion = np.tile([1.0, 0.0], 100)
    >>> old = Tried(release="old", losses=np.tile([1.0, 0.0, 0.0, 0.0], 50), champion=champion)
    >>> judge([old], rows=200, alpha=0.01, least_gain=0.05).why
    'old loses 0.250 on 200 newest rows, the champion 0.500: proved better (p 0.00002, 0.01 is allowed)'
    """
    numbers: dict[str, float] = {"recall_tried": float(len(tried)), "recall_passed_over": float(len(passed_over))}
    allowed = alpha / max(len(tried), 1)
    found: list[tuple[float, str, str]] = []
    fails: list[str] = []
    for one in tried:
        ours, theirs = one.losses[-rows:], one.champion[-rows:]
        gain = float((theirs - ours).mean()) if len(ours) else 0.0
        chance = chance_of(theirs - ours, max(rows // BLOCKS, 1))
        name = one.release[:12]
        numbers |= {f"recall_rows[{name}]": float(len(ours)), f"recall_gain[{name}]": gain, f"recall_p[{name}]": chance}
        if len(ours):
            numbers |= {f"recall_loss[{name}]": float(ours.mean()), f"recall_champion_loss[{name}]": float(theirs.mean())}
        said = _said(name, ours, theirs)
        if chance > allowed:
            fails.append(f"{said}: not proved better (p {chance:.2g}, {allowed:.2g} is allowed)")
        elif gain < least_gain:
            fails.append(f"{said}: better by {gain:.3f}, {least_gain:.3f} is asked for")
        else:
            found.append((gain, one.release, f"{said}: proved better (p {chance:.5f}, {allowed:.2g} is allowed)"))
    if found:
        _, release, why = max(found, key=lambda entry: entry[0])
        return RecallVerdict(release=release, why=why, numbers=numbers)
    whys = [*fails, *passed_over]
    return RecallVerdict(release="", why="no release is called back: " + ("; ".join(whys) or "none to try"), numbers=numbers)


def chance_of(gains: NDArray[np.float64], block: int) -> float:
    """Chance of such a sum or a larger one if every block of `block` rows could as well have had the other sign; 1 without a block.

    The newest rows make the blocks, BLOCKS at most; what is left of the oldest is not counted.

    >>> chance_of(np.tile([1.0, 0.0], 40), 10), chance_of(np.ones(9), 10)
    (0.00390625, 1.0)
    """
    blocks = min(len(gains) // block, BLOCKS)
    if blocks == 0:
        return 1.0
    sums = gains[len(gains) - blocks * block :].reshape(blocks, block).sum(axis=1)
    signs = ((np.arange(2**blocks)[:, None] >> np.arange(blocks)) & 1) * 2 - 1
    return float((signs @ sums >= sums.sum() - _TIE).mean())


def _said(name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    if not len(ours):
        return f"{name} has no rows that neither it nor the champion was trained on"
    return f"{name} loses {ours.mean():.3f} on {len(ours)} newest rows, the champion {theirs.mean():.3f}"
