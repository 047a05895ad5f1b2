"""A bad candidate leaves by the live metrics; an identical one goes through; a world that changes for both changes nothing.

For a while outcomes are reported the wrong way round, and a person retrains on just those rows. The gate refuses what comes
of it (its holdout is right again), the person overrides gate and shadow, and it answers a fifth of the rows, until the
paired losses take it out. Then the champion's own file is offered under a new digest, and promoted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from config.settings import Settings
from homeostat.demo.episodes.episode import Episode, Judged, Scene, Stage, decisions
from homeostat.demo.failed import DemoFailed
from homeostat.demo.follower import Seen
from homeostat.demo.live_rows import rows_answered_by
from homeostat.demo_policy import demo_policy
from homeostat.electricity import Columns
from streams.adapters.store import DirectoryStore
from streams.events import Override, Promote, RetrainRequested, Route
from streams.policy import Policy
from streams.release import encode, load_release

MODEL: Final = "electricity-override"
ABOUT: Final = (
    "Outcomes are reported the wrong way round for a while, and a person retrains on just those rows and lets the candidate past "
    "gate and shadow. The live losses take it out. Then the champion's own file comes in under a new digest, and goes through."
)
FLIPPED_ROWS: Final = 576
RIGHT_AGAIN_ROWS: Final = 150
"""The labels of 48 of them are not known yet; 96 are the gate's holdout."""
WINDOW_ROWS: Final = 660
OFFERED_AT: Final = 1_152
FLIPPED_FOR_BOTH_AT: Final = 1_824
ROWS: Final = 2_112
FIRST_SHARE: Final = 0.2


def policy(seed: int) -> Policy:
    """The demo's, but nothing is bought: a person steers this model."""
    chosen = demo_policy(seed)
    return msgspec.structs.replace(
        chosen,
        staleness=msgspec.structs.replace(chosen.staleness, trigger="nothing"),
        canary=msgspec.structs.replace(chosen.canary, steps=(FIRST_SHARE, 0.5, 1.0)),
    )


class BadCandidate(Episode):
    """See above."""

    def __init__(self, columns: Columns, seed: int) -> None:
        """`columns`: rows in which nothing changes by itself."""
        first = columns.first_rows
        self._columns = Columns(features=columns.features[: first + ROWS], labels=columns.labels[: first + ROWS])
        self._start = first
        self._seed = seed
        self._twin = ""

    def scenes(self) -> Sequence[Scene]:
        """One model."""
        start, outcomes = self._start, self._columns.labels.copy()
        for begin, end in ((0, FLIPPED_ROWS), (FLIPPED_FOR_BOTH_AT, ROWS)):
            outcomes[start + begin : start + end] = 1 - outcomes[start + begin : start + end]
        acts = {
            start + FLIPPED_ROWS + RIGHT_AGAIN_ROWS: self._retrain_and_override,
            start + OFFERED_AT: self._offer_the_twin,
        }
        return (
            Scene(
                model=MODEL,
                about=ABOUT,
                columns=self._columns,
                outcomes=outcomes,
                start=start,
                policy=policy(self._seed),
                acts=acts,
            ),
        )

    def judge(self, settings: Settings, seen: Sequence[Seen], routes: Sequence[Route]) -> Judged:
        """Live rows that it answered, how it left, and what became of the twin."""
        said = []
        bad = next((one.release for one in decisions(seen, MODEL, "GateOverridden")), "")
        out = next((one for one in decisions(seen, MODEL, "RolledBack") if bad and one.release == bad), None)
        mine = [route for route in routes if route.model == MODEL]
        live, after = rows_answered_by(settings, MODEL, bad, _generation_without(mine, bad)) if bad else (0, 0)
        stopped = out is not None and after == 0
        if not bad:
            said.append(f"no candidate of {MODEL} was refused by the gate and let in by a person")
        elif live == 0:
            said.append("the bad candidate answered no live rows, so the live metrics had nothing to find")
        elif out is None:
            said.append("the bad candidate was not taken out")
        elif after:
            said.append(f"the bad candidate answered {after} rows after the routers had the route without it")
        promoted = [one for one in decisions(seen, MODEL, "Promoted") if one.release == self._twin]
        if not promoted:
            said.append("the champion's own file under a new digest was not promoted")
        back = [one for one in decisions(seen, MODEL, "RolledBack") if one.release == self._twin]
        if back:
            said.append("a change of the world that hit both releases alike took one of them back")
        document = {
            "bad_candidate_stopped": stopped,
            "bad_candidate_live_requests": live,
            "identical_promoted": bool(promoted),
            "world_change_rolled_back": len(back),
        }
        return Judged(document=document, shortfalls=said)

    async def _retrain_and_override(self, stage: Stage) -> None:
        request = RetrainRequested(**stage.said("retrain on the newest rows, whose outcomes are wrong"), window_rows=WINDOW_ROWS)
        await stage.tell(request)
        ended = stage.decisions("TrainingEnded")
        if not ended or not ended[-1].release:
            raise DemoFailed(f"the training of {MODEL} gave no candidate: {ended[-1].why if ended else 'it has not ended'}")
        await stage.tell(Override(**stage.said("let it in although the gate refused it"), release=ended[-1].release))

    async def _offer_the_twin(self, stage: Stage) -> None:
        store, champion = DirectoryStore(stage.settings.store), stage.follower.routes[MODEL].champion
        twin = msgspec.structs.replace(load_release(store, champion), run=f"twin of {champion[:12]}", parent=champion)
        self._twin = store.put(encode(twin))
        await stage.tell(Promote(**stage.said("the champion's own file under a new digest"), release=self._twin))


def _generation_without(routes: Sequence[Route], release: str) -> int:
    """The first generation whose route no longer tries that release."""
    tried = [route.generation for route in routes if route.candidate == release]
    return min((route.generation for route in routes if route.generation > max(tried, default=0)), default=0)
