"""Crash points of registration, training, promotion, rollback and the frozen challenger on a real broker: SIGKILL there, a second start, one whole state."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from homeostat.chaos.crash_sweep import crash_at
from homeostat.chaos.crashes.site import Site
from streams import crash_points
from streams.adapters.embedded_broker import EmbeddedBroker
from streams.adapters.topic_admin import create_topics


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One installation for all points, on a broker of its own: agents wait for ever for the policies of others' models."""
    directory: Path = tmp_path_factory.mktemp("sweep")
    broker = EmbeddedBroker(directory)
    broker.start(timeout_s=120.0)
    try:
        create_topics(broker.bootstrap_servers)
        made = Site(broker.bootstrap_servers, directory / "data")
        yield made
        made.close()
    finally:
        broker.stop()


COMMANDS = frozenset(
    {
        "PolicyChanged", "TrainingBought", "CandidateQueued", "RecallStarted", "Recalled", "IncidentClosed", "ChangeAccepted",
        "CandidateOffered", "GateOverridden", "ShadowOverridden", "ApprovalWanted", "Approved", "Paused", "Resumed", "PersonAsked",
        "TrainingRetried", "CandidateRejected", "IncidentOpened", "ChallengerWanted",
    }
)  # fmt: skip
"""Kinds of decision whose commit is the same code as that of the others: `make bench NAME=chaos` sweeps them too."""
WATCHING = ("monitor", "agents")
"""Roles that have no effect on these; their own tests kill them, and the bench sweeps their points."""
POINTS = [point for point in crash_points.ALL if point.rsplit(":", 1)[-1] not in COMMANDS and not point.startswith(WATCHING)]


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_there_leaves_one_whole_state(site: Site, point: str, request: pytest.FixtureRequest) -> None:
    """Nothing half done, nothing twice, nothing unanswered: see homeostat/chaos/crashes."""
    outcome = crash_at(site, point, _behind(request))
    assert outcome.clean, outcome.why


def _behind(request: pytest.FixtureRequest) -> list[str]:
    """The points that this session tries next."""
    items = request.session.items
    following = items[items.index(request.node) + 1 :]
    return [item.callspec.params["point"] for item in following if item.path == request.path and hasattr(item, "callspec")]
