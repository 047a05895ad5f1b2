"""The shipped challenger over a stream: a frozen copy stays, the running one follows; and a table of the shipped recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.healing.always_learning import AlwaysLearning
from benchmarks.healing.stream import Stream
from benchmarks.healing.streams import stream
from benchmarks.healing.tables import build


def small(name: str) -> Stream:
    """The last periods of the first release's, and a few more, of a stream whose concept is turned at once after them."""
    one = stream(name, 0)
    whole = replace(one, features=one.features[600:], target=one.target[600:], first_rows=600, window_rows=600).head(8)
    target = whole.target.copy()
    target[whole.first_rows :] = 1.0 - target[whole.first_rows :]
    return replace(whole, target=target)


def test_a_frozen_copy_stays_and_the_running_one_follows() -> None:
    turned = small("none")
    challenger = AlwaysLearning(turned)
    frozen = challenger.frozen()
    rows = slice(turned.first_rows, turned.end)
    before = frozen(turned.features[rows], turned.target[rows])
    challenger.tested_then_learnt(turned.features[rows], turned.target[rows])
    assert np.array_equal(frozen(turned.features[rows], turned.target[rows]), before)
    assert challenger.frozen()(turned.features[rows], turned.target[rows]).mean() < before.mean() - 0.2


def test_a_table_of_the_recipe_shows_a_turned_concept() -> None:
    """A model of the old concept errs on the new one; one trained after it, and the challenger, less."""
    turned = small("none")
    table = build(turned, AlwaysLearning)
    newest = turned.periods - 1
    assert table.trained_sums[0, newest] > 2.0 * table.trained_sums[newest, newest]
    assert table.challenger_sums[newest] < table.trained_sums[0, newest]
    assert np.isnan(table.trained_sums[newest, 0])
    assert table.seconds.fit > 0.0


def test_a_regressions_losses_are_shares_of_its_scale() -> None:
    one = stream("gradual_regression", 0).head(3)
    table = build(one, AlwaysLearning)
    served = table.trained[0, one.first_rows : one.end]
    assert table.trained.dtype == np.float16
    assert 0.0 <= served.min() < served.max() <= 1.0
    assert len(np.unique(served)) > 50
