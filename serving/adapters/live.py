"""What answers at this moment: each model's route with its releases loaded, swapped whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from serving.adapters.lane import Lane
from serving.answer import Predictor
from serving.circuit import Circuit
from serving.quarantine import Quarantine
from serving.request import RowSchema
from streams.contract import Contract
from streams.events import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedRelease:
    """A release ready to answer; every digest on the way to it was verified."""

    digest: str
    contract_digest: str
    contract: Contract
    schema: RowSchema
    predictor: Predictor


@dataclass(slots=True, kw_only=True, eq=False)
class SideArm:
    """An arm beside the champion. `lane` None: its release could not be loaded, so that every row is a failure of it."""

    arm: str
    release: str
    lane: Lane | None
    circuit: Circuit = field(default_factory=Circuit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LiveRoute:
    """A route in force. Only the side arms' circuits change; a new generation starts with closed ones, a new revision keeps them."""

    route: Route
    champion: LoadedRelease
    schema: RowSchema
    """The champion's, with the route's rules and what it accepts."""
    side_arms: tuple[SideArm, ...] = ()
    privacy: Mapping[str, str] | None = None
    """Per feature: keep | hash | bin | drop. None: not known, so that no feature is logged."""
    quarantine: Quarantine = field(default_factory=Quarantine)

    def complete(self) -> bool:
        """Whether every arm of the route could be loaded."""
        return all(side.lane is not None for side in self.side_arms)


class LiveRoutes:
    """The routes in force, by model. One writer; readers take what is there, and keep it for their whole request."""

    def __init__(self) -> None:
        self._routes: dict[str, LiveRoute] = {}
        self._contracts: dict[str, Contract] = {}

    def get(self, model: str) -> LiveRoute | None:
        """The route of that model, or None."""
        return self._routes.get(model)

    def all(self) -> tuple[LiveRoute, ...]:
        """Every route in force."""
        return tuple(self._routes.values())

    def models(self) -> Collection[str]:
        """Names of the models that are answered."""
        return self._routes.keys()

    def contracts(self) -> Mapping[str, Contract]:
        """Contracts of the champions, by digest."""
        return self._contracts

    def swap(self, live: LiveRoute) -> None:
        """Put a route in force: the next request meets it whole."""
        routes = {**self._routes, live.route.model: live}
        self._contracts = {each.champion.contract_digest: each.champion.contract for each in routes.values()}
        self._routes = routes
