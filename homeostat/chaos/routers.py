"""Router replicas: each follows `routes` at its own pace and goes on from a remembered route after a restart."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeostat.chaos.broker import Broker
from serving import router
from streams import topics
from streams.events import Route


@dataclass(slots=True)
class Life:
    """What one replica did between two starts."""

    remembered: dict[str, Route]
    accepted: dict[str, list[Route]] = field(default_factory=dict)


class Replica:
    """One serving process. `lives`: its history, for the invariants."""

    def __init__(self, broker: Broker, name: str) -> None:
        self._broker = broker
        self._positions = dict.fromkeys(broker.homes, 0)
        self._remembered: dict[str, Route] = {}
        self.name = name
        self.live: dict[str, Route] = {}
        self.lives = [Life({})]

    def follow(self, limit: int, *, disk_full: bool = False) -> None:
        """Read on, and put in force what supersedes: of several routes of a model read at once, the last."""
        for number, position in self._positions.items():
            messages, self._positions[number] = self._broker.read(topics.ROUTES, number, position, limit)
            newest = {route.model: route for route in map(self._broker.route, messages)}
            for model, route in newest.items():
                if not router.accepts(self.live.get(model), route):
                    continue
                self.live[model] = route
                self.lives[-1].accepted.setdefault(model, []).append(route)
                self._broker.say(self.name, "{} serves generation {}", model, route.generation)
                if not disk_full:
                    self._remembered[model] = route

    def remembers(self, route: Route) -> None:
        """From a log that is gone."""
        self.live[route.model] = self._remembered[route.model] = route
        self.lives = [Life(dict(self._remembered))]

    def restart(self) -> None:
        """Killed, and started again from what it remembered."""
        self._broker.say(self.name, "restarts")
        self._positions = dict.fromkeys(self._broker.homes, 0)
        self.live = dict(self._remembered)
        self.lives.append(Life(dict(self._remembered)))
