"""Rules of routes and of the routers that follow them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from homeostat.chaos.history import History
from streams.events import Route


def routes_rise(history: History) -> Iterator[str]:
    """I4: each route of a model is newer than the one before, and a new revision changes no role."""
    for model, routes in history.model_routes().items():
        yield from (f"{model}: {what} in the log" for what in _falls(routes))
        for before, after in pairwise(routes):
            if before.generation == after.generation and _roles(before) != _roles(after):
                yield f"{model}: revision {after.revision} of generation {after.generation} changes who answers"


def routers_rise(history: History) -> Iterator[str]:
    """I4: no router ever goes back to an older route than one it accepted, or remembered from its life before."""
    for replica in history.routers:
        for life in replica.lives:
            for model, accepted in life.accepted.items():
                first = life.remembered.get(model)
                yield from (f"{replica.name}, {model}: {what}" for what in _falls([*([first] if first else []), *accepted]))


def arms_are_consistent(history: History) -> Iterator[str]:
    """I5: shares lie within [0, 1], and arms fit each other."""
    for route in history.routes:
        name = f"{route.model}, generation {route.generation}"
        shares = history.plan.policies[route.model].canary.steps
        if not 0.0 <= route.share <= 1.0:
            yield f"{name}: a share of {route.share}"
        if (route.step, route.share) != (0, 0.0) and (not route.candidate or shares[route.step - 1] != route.share):
            yield f"{name}: step {route.step}, share {route.share}, candidate {route.candidate!r}"
        arms = [arm for arm in (route.champion, route.candidate, route.control) if arm]
        if not route.champion or len(set(arms)) != len(arms) or (route.candidate and route.control):
            yield f"{name}: arms {route.champion!r}, {route.candidate!r}, {route.control!r}"


def what_is_served_was_decided(history: History) -> Iterator[str]:
    """I7: every route that a router follows is in the log, made by a decision there, and its champion was promoted before."""
    committed = {_age(route): route for route in history.routes}
    decisions = {decision.id: decision for decision in history.decisions}
    champions: dict[str, set[str]] = {model: set() for model in history.plan.policies}
    for decision in history.decisions:
        if decision.kind in ("Registered", "Restored", "Promoted"):
            champions[decision.model].add(decision.release)
    for route in history.routes:
        by = decisions.get(route.decision)
        if by is None or by.model != route.model or (by.champion or route.champion) != route.champion:
            yield f"{route.model}: the route of generation {route.generation} follows from no decision"
        if route.champion not in champions[route.model]:
            yield f"{route.model}: {route.champion} serves, and was never promoted"
    for replica in history.routers:
        for life in replica.lives:
            for accepted in life.accepted.values():
                for route in accepted:
                    if committed.get(_age(route)) != route:
                        yield f"{replica.name} follows a route of generation {route.generation} that is not in the log"


def answers_follow_the_newest_route_known(history: History) -> Iterator[str]:
    """I6: from the moment that a router knows a newer route, nobody answers by an older one."""
    newest: dict[tuple[str, int, str], tuple[int, int, int]] = {}
    for one in history.traffic.answered:
        key, age = (one.router, one.life, one.route.model), _age(one.route)[1:]
        if age < newest.get(key, age):
            yield f"{one.router} answers by generation {one.route.generation} after {newest[key]}"
        newest[key] = age
        if one.arm == "candidate" and not 0.0 < one.route.share <= 1.0:
            yield f"{one.router}: {one.release} answers {one.rows} rows at a share of {one.route.share}"


def routers_agree_after_quiet(history: History) -> Iterator[str]:
    """I9: long after the last change every router follows what the log comes to."""
    for model, state in history.states().items():
        rollout = state.rollout
        wanted = (
            rollout.incarnation, rollout.generation, state.revision, rollout.champion, rollout.candidate, rollout.step,
            rollout.share, rollout.control, state.quarantine, state.accepted,
        )  # fmt: skip
        for replica in history.routers:
            live = replica.live.get(model)
            if live is None:
                yield f"{replica.name} serves no {model}"
                continue
            have = (
                live.incarnation, live.generation, live.revision, live.champion, live.candidate, live.step, live.share,
                live.control, live.quarantine, live.accepted,
            )  # fmt: skip
            if have != wanted:
                yield f"{replica.name}, {model}: {have} is in force, {wanted} was decided"


def _falls(routes: Sequence[Route]) -> Iterator[str]:
    for before, after in pairwise(routes):
        if _age(after) <= _age(before):
            yield f"generation {after.generation}.{after.revision} after {before.generation}.{before.revision}"


def _roles(route: Route) -> tuple[object, ...]:
    return route.champion, route.candidate, route.step, route.share, route.control


def _age(route: Route) -> tuple[str, int, int, int]:
    return route.model, route.incarnation, route.generation, route.revision


RULES: Final = (
    routes_rise,
    routers_rise,
    arms_are_consistent,
    what_is_served_was_decided,
    answers_follow_the_newest_route_known,
    routers_agree_after_quiet,
)
