"""After a promotion: is it the release, or the world? Windows through the agents' fold into the controller's, labels late.

The champion before stays in shadow as a control through the bake. What hits both leaves their difference as it was; what
only the new release gets wrong takes it back, however late its labels come.
"""

from __future__ import annotations

import numpy as np

from drift.monitoring import State, advance
from streams.events import UNIT, EvidenceGathered, PairCounts, Route, WindowCounted
from tests.core.control_log import ControlLog, finished, promote, registered, retrain
from tests.core.window_log import Windows, known, served_counts

ROWS = 20


class Bake:
    """A promoted release, and windows of rows that both it and its control scored."""

    def __init__(self) -> None:
        self.log = ControlLog()
        self.log.tell(registered())
        self.log.tell(retrain())
        self.log.tell(finished(self.log.decisions[-1].run))
        promote(self.log)
        self.route: Route = self.log.routes[-1]
        assert (self.route.champion, self.route.control) == ("second", "first")
        self.cut, self.agents = Windows(), State()
        self.agents, _ = advance(self.agents, known())
        self.kinds: list[str] = []

    def see(self, window: WindowCounted) -> None:
        self.agents, signals = advance(self.agents, window)
        for signal in signals:
            if isinstance(signal, EvidenceGathered):
                self.kinds += self.log.tell(signal)

    def answered(self) -> None:
        """Rows answered, their labels still out."""
        served = tuple(
            served_counts(release, arm, ROWS, generation=self.route.generation)
            for release, arm in (("second", "champion"), ("first", "control"))
        )
        self.see(self.cut.window("predictions", rows=ROWS, served=served))

    def labelled(self, *, champion_wrong: np.ndarray, control_wrong: np.ndarray) -> None:
        """Labels of so many rows, and where each of the two was wrong."""
        worse = int((control_wrong & ~champion_wrong).sum())
        better = int((champion_wrong & ~control_wrong).sum())
        pairs = PairCounts(
            generation=self.route.generation, step=0, arm="control", release="first", champion="second",
            n=len(champion_wrong), worse=worse, better=better,
            difference=(worse - better) * UNIT, difference_squared=(worse + better) * UNIT,
        )  # fmt: skip
        self.see(self.cut.window("labels", rows=len(champion_wrong), pairs=(pairs,)))


def test_a_release_that_turns_bad_after_its_promotion_goes_back_by_itself_when_its_labels_come() -> None:
    """Nothing is known while they are out; then the old release serves again."""
    bake, rng = Bake(), np.random.default_rng(0)
    for _ in range(8):
        bake.answered()
    assert "RolledBack" not in bake.kinds
    for _ in range(8):
        bake.labelled(champion_wrong=rng.random(ROWS) < 0.6, control_wrong=rng.random(ROWS) < 0.2)
        if "RolledBack" in bake.kinds:
            break
    assert bake.log.routes[-1].champion == "first"


def test_a_change_of_the_world_that_hits_both_takes_nothing_back() -> None:
    """Both are wrong on most rows, and mostly on the same: the promotion stands. Over 20 worlds at most one is misjudged."""
    taken_back = 0
    for seed in range(20):
        bake, rng = Bake(), np.random.default_rng(seed)
        for _ in range(12):
            bake.answered()
            hard = rng.random(ROWS) < 0.7
            noise = rng.random((2, ROWS)) < 0.1
            bake.labelled(champion_wrong=hard ^ noise[0], control_wrong=hard ^ noise[1])
        taken_back += "RolledBack" in bake.kinds
        assert "BakeEnded" in bake.kinds or "RolledBack" in bake.kinds
    assert taken_back <= 1


def test_without_its_control_a_release_that_turns_bad_stays() -> None:
    """The control of the control: labels of rows that only the champion scored take nothing back."""
    bake = Bake()
    for _ in range(12):
        bake.answered()
        bake.see(bake.cut.labels(0.0, ROWS, at=1.0, wrong=ROWS, release="second"))
    assert "RolledBack" not in bake.kinds
    assert bake.log.routes[-1].champion == "second"
