"""The episodes of `demo --all`, on rows of the electricity stream in random order, where nothing changes by itself."""

from __future__ import annotations

from homeostat.demo.episodes.bad_candidate import BadCandidate
from homeostat.demo.episodes.data_bug import DataBug
from homeostat.demo.episodes.episode import Episode
from homeostat.demo.episodes.recurring import Recurring
from homeostat.demo.stream import DATA
from homeostat.electricity import load


def episodes(seed: int) -> tuple[Episode, ...]:
    """All of them."""
    well = load(DATA).shuffled(seed + 1)
    return BadCandidate(well, seed), DataBug(well, seed), Recurring(well, seed)
