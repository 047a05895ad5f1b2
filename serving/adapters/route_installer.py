"""Puts routes in force: loads what they name, off the event loop, and swaps each in whole.

A route whose champion cannot be loaded waits, and the one in force goes on. A candidate or control that cannot be loaded
never answers: its route comes into force without it, and every row counts as a failure of it until it can be loaded.
A model whose policy is not known is answered, but none of its features is logged.
A new revision of the generation in force changes rules only: its side arms, with their lanes and circuits, stay as they are.
"""

from __future__ import annotations

import logging

from serving.adapters.lane import Lane
from serving.adapters.live import LiveRoute, LiveRoutes, LoadedRelease, SideArm
from serving.adapters.model_cache import ModelCache, ReleaseUnusable, last_known
from serving.adapters.serving_meters import ServingMeters
from serving.quarantine import Quarantine, UnusableFallback, fallback_value
from serving.router import accepts, scored_arms
from serving.served_policy import ServedPolicy
from streams.contract import TargetContract
from streams.crash_points import NOWHERE, CrashPoints
from streams.events import Route
from streams.policy import QuarantinePolicy

_log = logging.getLogger(__name__)


class RouteInstaller:
    """Owned by one thread; what it swaps is read by the event loop."""

    def __init__(self, cache: ModelCache, live: LiveRoutes, meters: ServingMeters, crash: CrashPoints = NOWHERE) -> None:
        self._cache = cache
        self._live = live
        self._meters = meters
        self._crash = crash
        self._lanes: dict[str, Lane] = {}
        self._policies: dict[str, ServedPolicy] = {}
        self._offered: dict[str, Route] = {}
        self._told_unknown: set[str] = set()
        self._told_unusable: dict[str, str] = {}

    def start_from_cache(self) -> None:
        """Put the last known routes in force; what cannot be is logged and waits for the log."""
        try:
            known = self._cache.last_known()
        except ValueError as error:
            _log.error("%s", error)
            return
        self._policies = known.policies()
        for route in known.routes:
            self._offered[route.model] = route
        self.install(remember=False)

    def set_policy(self, model: str, policy: ServedPolicy) -> None:
        """Take the policy of a model, and put it in force at once if it is served."""
        changed = self._policies.get(model) != policy
        self._policies[model] = policy
        live = self._live.get(model)
        if live is not None and changed:
            self._swap(live.route, live.champion, live.side_arms)
            self._remember()

    def knows_policy(self, model: str) -> bool:
        """Whether this model's policy is known."""
        return model in self._policies

    def offer(self, route: Route) -> None:
        """Take note of a route; only the newest offered is installed."""
        live = self._live.get(route.model)
        newest = self._offered.get(route.model) or (live.route if live else None)
        if accepts(newest, route):
            self._offered[route.model] = route
            self._crash.reached("serving:route_taken")

    def install(self, *, remember: bool = True) -> None:
        """Put every offered route in force that can be, and try again what was not complete. Never raises for a bad release."""
        changed = False
        for route in tuple(self._offered.values()):
            changed |= self._install(route)
        for live in self._live.all():
            if live.route.model not in self._offered and not live.complete():
                changed |= self._complete(live)
        if changed:
            self._close_unused_lanes()
            if remember:
                self._crash.reached("serving:swapped")
                self._remember()

    def _install(self, route: Route) -> bool:
        try:
            champion = self._cache.load(route.model, route.champion)
        except ReleaseUnusable as error:
            _log.error("route generation %d of %s waits: %s", route.generation, route.model, error)
            return False
        kept = self._kept_side_arms(route)
        side_arms = [
            kept.get((arm, release)) or self._side_arm(route, arm, release, champion) for arm, release in scored_arms(route)[1:]
        ]
        del self._offered[route.model]
        self._swap(route, champion, tuple(side_arms))
        return True

    def _kept_side_arms(self, route: Route) -> dict[tuple[str, str], SideArm]:
        """Those that answer already, where the route is another revision of the generation in force."""
        live = self._live.get(route.model)
        if live is None or (live.route.incarnation, live.route.generation) != (route.incarnation, route.generation):
            return {}
        return {(side.arm, side.release): side for side in live.side_arms if side.lane is not None}

    def _complete(self, live: LiveRoute) -> bool:
        """Load what could not be loaded before; the arms that were there keep their circuits."""
        side_arms = tuple(
            side if side.lane is not None else self._side_arm(live.route, side.arm, side.release, live.champion)
            for side in live.side_arms
        )
        if all(new is old or new.lane is None for new, old in zip(side_arms, live.side_arms, strict=True)):
            return False
        self._swap(live.route, live.champion, side_arms)
        return True

    def _side_arm(self, route: Route, arm: str, digest: str, champion: LoadedRelease) -> SideArm:
        try:
            loaded = self._cache.load(route.model, digest)
        except ReleaseUnusable as error:
            _log.error("%s of %s cannot answer, the champion does: %s", arm, route.model, error)
            return SideArm(arm=arm, release=digest, lane=None)
        if loaded.contract.target != champion.contract.target:
            # Class indices of the two would mean different things.
            _log.error("%s %s of %s has another target than the champion: it cannot answer", arm, digest, route.model)
            return SideArm(arm=arm, release=digest, lane=None)
        if digest not in self._lanes:
            self._lanes[digest] = Lane(loaded.predictor, loaded.contract.target, digest[:12])
        return SideArm(arm=arm, release=digest, lane=self._lanes[digest])

    def _swap(self, route: Route, champion: LoadedRelease, side_arms: tuple[SideArm, ...]) -> None:
        policy = self._policies.get(route.model)
        if policy is None and route.model not in self._told_unknown:
            self._told_unknown.add(route.model)
            _log.warning("no features of %s are logged: neither cache nor `control` has its policy; set it", route.model)
        live = LiveRoute(
            route=route,
            champion=champion,
            schema=champion.schema.under(route.quarantine, route.accepted),
            side_arms=side_arms,
            privacy=None if policy is None else policy.log,
            quarantine=self._quarantine(route.model, champion.contract.target, policy),
        )
        self._live.swap(live)
        self._meters.show_route(route.model, route.generation, route.share)

    def _quarantine(self, model: str, target: TargetContract, policy: ServedPolicy | None) -> Quarantine:
        """A fallback that is no answer is said once, and the model answers."""
        wanted = QuarantinePolicy() if policy is None else policy.quarantine
        try:
            return Quarantine(enabled=wanted.enabled, fallback=fallback_value(target, wanted.fallback))
        except UnusableFallback as error:
            if self._told_unusable.get(model) != wanted.fallback:
                self._told_unusable[model] = wanted.fallback
                _log.error("spoilt rows of %s are answered by the model: %s", model, error)
            return Quarantine(enabled=wanted.enabled)

    def _remember(self) -> None:
        try:
            self._cache.remember(last_known((live.route for live in self._live.all()), self._policies))
        except OSError as error:
            # A full disk must not stop the answers; the next change tries again.
            _log.error("the routes in force could not be kept for the next start: %s", error)

    def _close_unused_lanes(self) -> None:
        used = {side.release for live in self._live.all() for side in live.side_arms}
        for digest in self._lanes.keys() - used:
            self._lanes.pop(digest).close()
