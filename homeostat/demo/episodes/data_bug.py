"""A data bug is called by its name, its rows are kept out, and nothing is trained on them; the feed mends, the incident closes.

The same rows go to two models whose rows change in nothing else. One price is a thousand times too large, on part of the
traffic and then on all of it; later one sensor is stuck, then values are missing in a burst. With the triage off the bug
costs, and buys a training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from config.settings import Settings
from homeostat.demo.episodes.episode import Episode, Judged, Scene, decisions
from homeostat.demo.follower import Seen
from homeostat.demo.live_rows import rows_quarantined
from homeostat.demo_policy import demo_policy
from homeostat.electricity import FEATURES, Columns
from streams.events import Route
from streams.policy import ChallengerPolicy, QuarantinePolicy

TRIAGED: Final = "electricity-bug"
CONTROL: Final = "electricity-bug-untriaged"
ABOUT: Final = {
    TRIAGED: "One price comes a thousand times too large, in part of the rows and then in all; later a sensor is stuck, and values "
    "are missing. Each bug is called, its rows are kept out, nothing is trained on them.",
    CONTROL: "The same rows with the triage off: the bug costs, and buys a training.",
}
PRICE: Final = "80 errors"
"""Of a training, in errors: twice the demo's, for streams as short as this one by itself buys nothing at that."""
FACTOR: Final = 1_000.0
PART: Final = 0.3
"""Share of the rows that are spoilt at first."""
PART_FROM: Final = 960
WHOLE_FROM: Final = 1_248
MENDED_FROM: Final = 1_728
STUCK_FROM: Final = 2_016
WELL_FROM: Final = 2_208
MISSING_FROM: Final = 2_496
PRESENT_FROM: Final = 2_688
ROWS: Final = 2_976

CALLED: Final = (("nswprice", "unit"), ("nswdemand", "stuck"), ("vicdemand", "missing"))
"""What must be called: feature and kind."""


def spoilt(columns: Columns, first: int, seed: int) -> Columns:
    """The rows with the three bugs, from row `first` of the stream on."""
    features = columns.features[: first + ROWS].copy()
    rng = np.random.default_rng((seed, 3))
    price, demand, other = (FEATURES.index(name) for name in ("nswprice", "nswdemand", "vicdemand"))
    part = first + np.arange(PART_FROM, WHOLE_FROM)
    features[part[rng.random(len(part)) < PART], price] *= FACTOR
    features[first + WHOLE_FROM : first + MENDED_FROM, price] *= FACTOR
    features[first + STUCK_FROM : first + WELL_FROM, demand] = features[first + STUCK_FROM, demand]
    features[first + MISSING_FROM : first + PRESENT_FROM, other] = np.nan
    return Columns(features=features, labels=columns.labels[: first + ROWS])


class DataBug(Episode):
    """See above."""

    def __init__(self, columns: Columns, seed: int) -> None:
        """`columns`: rows in which nothing changes by itself."""
        self._start = columns.first_rows
        self._columns = spoilt(columns, self._start, seed)
        self._seed = seed

    def scenes(self) -> Sequence[Scene]:
        """The same rows twice, with the triage on and off."""
        chosen = demo_policy(self._seed)
        on = msgspec.structs.replace(
            chosen,
            staleness=msgspec.structs.replace(chosen.staleness, retrain_cost=PRICE),
            challenger=ChallengerPolicy(enabled=False),  # it is about what trainings learn
        )
        off = msgspec.structs.replace(on, quarantine=QuarantinePolicy(enabled=False))
        return tuple(
            Scene(
                model=model,
                about=ABOUT[model],
                columns=self._columns,
                outcomes=self._columns.labels,
                start=self._start,
                policy=policy,
            )
            for model, policy in ((TRIAGED, on), (CONTROL, off))
        )

    def judge(self, settings: Settings, seen: Sequence[Seen], routes: Sequence[Route]) -> Judged:
        """What was called, closed and trained on."""
        rules = {rule.incident: rule for route in routes if route.model == TRIAGED for rule in route.quarantine}
        found = {(rule.feature, rule.kind) for rule in rules.values()}
        still_open = next((route.quarantine for route in reversed(routes) if route.model == TRIAGED), ())
        trained, control = (len(decisions(seen, model, "TrainingStarted")) for model in (TRIAGED, CONTROL))
        said = [f"{feature}: {kind} was not called" for feature, kind in CALLED if (feature, kind) not in found]
        said += [f"{feature}: {kind} was called, and is well" for feature, kind in sorted(found - set(CALLED))]
        said += [f"incident {rule.incident} ({rule.feature}) is still open, and the feed is well" for rule in still_open]
        if trained:
            said.append(f"{trained} trainings on {TRIAGED}, where only the data was spoilt")
        if not control:
            said.append(f"no training on {CONTROL}: with the triage off the bug must cost enough to buy one")
        if decisions(seen, CONTROL, "IncidentOpened"):
            said.append(f"incidents on {CONTROL}, whose policy wants no triage")
        document = {
            "data_bug_trained": trained,
            "control_trained": control,
            "data_bugs_called": len(found & set(CALLED)),
            "rows_quarantined": rows_quarantined(settings, TRIAGED),
        }
        return Judged(document=document, shortfalls=said)
