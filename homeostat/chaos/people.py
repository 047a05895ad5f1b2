"""People and their commands: every kind there is, at any moment, with targets that are sensible, stale or made up."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from homeostat.chaos.broker import Broker
from homeostat.chaos.feed import FEATURES, Feed
from homeostat.chaos.observer import Observer, Seen
from homeostat.chaos.post import Post
from homeostat.chaos.windows import Windows
from streams.events import (
    AcceptChange,
    Approve,
    Control,
    DetectorsArmed,
    DriftDetected,
    ModelRegistered,
    Override,
    Pause,
    PolicySet,
    Promote,
    ReleaseQuarantine,
    Restored,
    Resume,
    RetrainRequested,
    RollBack,
)
from streams.policy import Policy
from streams.policy_limits import TRIGGERS, fault


class People:
    """Everybody who may write a command. A new kind of command is one entry of `_commands`."""

    def __init__(self, broker: Broker, post: Post, rng: random.Random, observer: Observer, windows: Windows, feed: Feed) -> None:
        self._broker = broker
        self._post = post
        self._rng = rng
        self._observer = observer
        self._windows = windows
        self._feed = feed
        self._said = 0
        makers: dict[Callable[[str, Seen], Control], float] = {
            self._retrain: 6, self._roll_back: 7, self._pause: 1.5, self._resume: 3, self._override: 4, self._promote: 3,
            self._approve: 8, self._accept_change: 1, self._release_quarantine: 1, self._set_policy: 2, self._register: 0.5,
            self._restore: 0.5, self._drift: 1, self._armed: 1,
        }  # fmt: skip
        self._makers: Final = tuple(makers)
        self._weights: Final = tuple(makers.values())

    def speak(self, model: str) -> None:
        """One command about a model."""
        make = self._rng.choices(self._makers, self._weights)[0]
        record = make(model, self._observer.of(model))
        self._broker.say("people", "{} {}", model, type(record).__name__)
        self._post.send(record)

    def wish(self, model: str) -> None:
        """A training, now."""
        self._post.send(RetrainRequested(id=self._id(), at=self._broker.now, model=model, actor="ada", reason="to begin with"))

    def resume(self, model: str) -> None:
        """At last, a held model is let go."""
        self._post.send(self._resume(model, self._observer.of(model)))

    def _id(self) -> str:
        self._said += 1
        return f"said-{self._said}"

    def _one_of(self, *targets: str) -> str:
        return self._rng.choice(targets)

    def _retrain(self, model: str, seen: Seen) -> Control:
        release = self._one_of("", "", "", seen.champion, "nobody-knows-it")
        rows = self._rng.choice((0, 0, 0, 500, -1))
        return RetrainRequested(id=self._id(), at=self._when(), model=model, actor="ada", reason="because", release=release,
                                window_rows=rows)  # fmt: skip

    def _roll_back(self, model: str, seen: Seen) -> Control:
        to = self._one_of("", "", "", "never-served", *seen.releases[-3:])
        return RollBack(id=self._id(), at=self._when(), model=model, actor="ada", reason="customers complain", to=to)

    def _pause(self, model: str, _: Seen) -> Control:
        return Pause(id=self._id(), at=self._when(), model=model, actor="ada", reason="look into it")

    def _resume(self, model: str, _: Seen) -> Control:
        return Resume(id=self._id(), at=self._when(), model=model, actor="ada", reason="looked")

    def _override(self, model: str, seen: Seen) -> Control:
        release = self._one_of("nobody-knows-it", *(seen.made[-2:] * 4), *seen.releases[-2:])
        return Override(id=self._id(), at=self._when(), model=model, actor="ada", reason="I know better", release=release)

    def _promote(self, model: str, seen: Seen) -> Control:
        # The store admits only releases that exist, before a command is written.
        release = self._one_of(*(seen.releases or [f"{model}-first"]))
        return Promote(id=self._id(), at=self._when(), model=model, actor="ada", reason="try it", release=release)

    def _approve(self, model: str, seen: Seen) -> Control:
        decision = self._one_of("no-such-decision", *(seen.wanted[-2:] * 6))
        return Approve(id=self._id(), at=self._when(), model=model, actor="ada", reason="go", decision=decision)

    def _accept_change(self, model: str, _: Seen) -> Control:
        feature = self._one_of(*FEATURES)
        return AcceptChange(id=self._id(), at=self._when(), model=model, actor="ada", reason="it is so", feature=feature)

    def _release_quarantine(self, model: str, _: Seen) -> Control:
        incident = self._one_of("no-such-incident", self._feed.incident(model))
        return ReleaseQuarantine(id=self._id(), at=self._when(), model=model, actor="ada", reason="fine", incident=incident)

    def _set_policy(self, model: str, _: Seen) -> Control:
        now = self._windows.policies[model]
        policy = self._rng.choice((self._other_autonomy, self._other_switch, self._impossible))(now)
        if not fault(policy):
            self._windows.policies[model] = policy
        return PolicySet(id=self._id(), at=self._broker.now, model=model, actor="ada", reason="other times", policy=policy)

    def _other_autonomy(self, policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, autonomy=self._one_of("observe", "suggest", "approve", "auto", "auto"))

    def _other_switch(self, policy: Policy) -> Policy:
        trigger = self._one_of(*(other for other in TRIGGERS if other != policy.staleness.trigger))
        staleness = msgspec.structs.replace(policy.staleness, trigger=trigger)
        quarantine = msgspec.structs.replace(policy.quarantine, enabled=not policy.quarantine.enabled)
        one = self._one_of("enabled", "candidate")
        challenger = msgspec.structs.replace(policy.challenger, **{one: not getattr(policy.challenger, one)})
        switches = ({"staleness": staleness}, {"quarantine": quarantine}, {"challenger": challenger})
        return msgspec.structs.replace(policy, **self._rng.choice(switches))

    @staticmethod
    def _impossible(policy: Policy) -> Policy:
        return msgspec.structs.replace(policy, canary=msgspec.structs.replace(policy.canary, steps=(0.9, 0.1)))

    def _register(self, model: str, _: Seen) -> Control:
        return ModelRegistered(
            id=self._id(), at=self._when(), model=model, actor="ada", reason="once more", release="another", contract="c",
            policy=self._windows.policies[model],
        )  # fmt: skip

    def _restore(self, model: str, _: Seen) -> Control:
        return Restored(id=self._id(), at=self._when(), model=model, actor="ada", reason="oops", incarnation=9, state=b"?")

    def _drift(self, model: str, seen: Seen) -> Control:
        return DriftDetected(
            id=self._id(), at=self._when(), model=model, actor="agents", reason="x left", release=seen.champion, feature="x",
            statistic=9.0, threshold=5.0, since=self._broker.now, size=1.0,
        )  # fmt: skip

    def _armed(self, model: str, seen: Seen) -> Control:
        return DetectorsArmed(
            id=self._id(), at=self._when(), model=model, actor="agents", reason="armed", release=seen.champion, rows=500
        )

    def _when(self) -> datetime:
        """A clock that is mostly right; sometimes minutes off, sometimes years."""
        off = self._rng.choice((timedelta(0),) * 12 + (timedelta(minutes=4), -timedelta(hours=1), timedelta(days=27_000)))
        return self._broker.now + off
