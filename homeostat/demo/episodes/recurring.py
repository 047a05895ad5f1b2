"""A world that comes back: what served in it before is recalled, and no training is bought.

Outcomes turn round for a while, for real: what was one class is the other. The loop buys a training and promotes what comes of
it. When the old world returns, the first release is found again among those that served, tried in shadow and canary, and
promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from config.settings import Settings
from homeostat.demo.episodes.episode import Episode, Judged, Scene, decisions
from homeostat.demo.follower import Seen
from homeostat.demo_policy import demo_policy
from homeostat.electricity import Columns
from streams.events import Route
from streams.policy import ChallengerPolicy, Policy, RecallPolicy

MODEL: Final = "electricity-recurring"
ABOUT: Final = (
    "Outcomes turn round, and turn back. For the first change a training is bought; for the second, the release that served before "
    "is recalled."
)
TURNED_AT: Final = 317
BACK_AT: Final = 1_085
"""Both where a period begins."""
ROWS: Final = 2_045


def policy(seed: int) -> Policy:
    """The demo's, with a shorter memory: a world lasts eight periods here."""
    chosen = demo_policy(seed)
    return msgspec.structs.replace(
        chosen,
        staleness=msgspec.structs.replace(chosen.staleness, retrain_cost="80 errors"),
        challenger=ChallengerPolicy(enabled=False),  # it would spare the recall, as it would a training
        training=msgspec.structs.replace(chosen.training, window_rows=144, holdout_rows=48, minimum_rows=90),
        recall=RecallPolicy(releases=10, rows=96, alpha=0.05),
    )


class Recurring(Episode):
    """See above."""

    def __init__(self, columns: Columns, seed: int) -> None:
        """`columns`: rows in which nothing changes by itself."""
        self._start = first = columns.first_rows
        labels = columns.labels[: first + ROWS].copy()
        turned = np.s_[first + TURNED_AT : first + BACK_AT]
        labels[turned] = 1 - labels[turned]
        self._columns = Columns(features=columns.features[: first + ROWS], labels=labels)
        self._seed = seed

    def scenes(self) -> Sequence[Scene]:
        """One model."""
        return (
            Scene(
                model=MODEL,
                about=ABOUT,
                columns=self._columns,
                outcomes=self._columns.labels,
                start=self._start,
                policy=policy(self._seed),
            ),
        )

    def judge(self, settings: Settings, seen: Sequence[Seen], routes: Sequence[Route]) -> Judged:
        """Recalls that were promoted, and what they spared."""
        del settings, routes
        recalled = {one.run for one in decisions(seen, MODEL, "Recalled")}
        promoted = [one for one in decisions(seen, MODEL, "Promoted") if one.run in recalled]
        back = self._start + BACK_AT
        trained_after = sum(
            1 for one in seen if one.decision.model == MODEL and one.decision.kind == "TrainingStarted" and one.row >= back
        )
        said = []
        if not promoted:
            said.append(f"no release of {MODEL} was recalled and promoted when its world came back")
        elif trained_after:
            said.append(f"{trained_after} trainings were bought after the world of {MODEL} came back, although it was recalled")
        return Judged(document={"recalled": len(promoted), "trained_after_return": trained_after}, shortfalls=said)
