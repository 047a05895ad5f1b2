"""Data bugs in a model's feed, and the triage that calls them."""

from __future__ import annotations

import random
from datetime import timedelta

from homeostat.chaos.broker import Broker
from homeostat.chaos.post import Post
from streams.events import QualityIncident, QuarantineRule, derived_id

FEATURES = ("x", "y")


class Feed:
    """Which models' rows are spoilt. `spoilt` is shared with the traffic."""

    def __init__(self, broker: Broker, post: Post, rng: random.Random) -> None:
        self._broker = broker
        self._post = post
        self._rng = rng
        self._open: dict[str, QuarantineRule] = {}
        self._called = 0
        self.spoilt: set[str] = set()

    def turn(self, model: str, release: str) -> None:
        """A bug begins and is called, or ends and is called well."""
        known = self._open.pop(model, None)
        if known is None:
            self._called += 1
            feature = self._rng.choice(FEATURES)
            known = QuarantineRule(
                incident=derived_id(model, feature, "incident", self._called), feature=feature, kind="missing",
                since=self._broker.now - timedelta(minutes=self._rng.randint(1, 20)),
            )  # fmt: skip
            self._open[model] = known
            self.spoilt.add(model)
            self._post.send(self._incident(model, release, known, closed=False))
        else:
            self.spoilt.discard(model)
            self._post.send(self._incident(model, release, known, closed=True))

    def incident(self, model: str) -> str:
        """The incident that is open, by what the triage knows."""
        known = self._open.get(model)
        return known.incident if known is not None else "none"

    def _incident(self, model: str, release: str, rule: QuarantineRule, *, closed: bool) -> QualityIncident:
        return QualityIncident(
            id=derived_id(rule.incident, "closed" if closed else "opened"), at=self._broker.now, model=model, actor="agents",
            reason="the feed is well" if closed else "values are missing", release=release, rule=rule, closed=closed,
        )  # fmt: skip
