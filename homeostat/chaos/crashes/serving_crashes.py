"""Serving killed while it takes a route."""

from __future__ import annotations

from typing import Final

from homeostat.chaos.crashes.controller_crashes import decided, finish, kinds_of
from homeostat.chaos.crashes.end_state import check
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.stories import story_of
from homeostat.chaos.crashes.verdict import require
from homeostat.serving_client import model_document

ROLE: Final = "serve"
_ROUTES: Final = {"serving:blob_cached": "ShadowStarted"}
"""Only a route with a release that is not here yet brings blobs; everything else is tried with a promotion."""


def crash(site: Site, point: str) -> None:
    """Serve one route, get the next, die; what is served afterwards is one of the two, then the new one. Raises Unclean."""
    kind = _ROUTES.get(point, "Promoted")
    cast = site.new_cast(kind)
    told, place = story_of(kind, cast)
    site.running("control")
    site.running(ROLE)
    site.tell(told.records[:place])
    decided(site, told, place)
    check(site, cast.model)
    life = site.start(ROLE, dies_at=point)
    site.ready(ROLE)
    life.must_live()
    site.tell([told.records[place]])
    life.killed_there()
    decided(site, told, place + 1)
    site.start(ROLE)
    site.ready(ROLE)
    shown = model_document(site.settings, cast.model) or {}
    routes = {(route.generation, route.champion, route.candidate) for route in site.log.whole().routes(cast.model)[-2:]}
    seen = (shown.get("generation"), shown.get("champion"), shown.get("candidate"))
    require(seen in routes, f"serving came back with {seen}, which is neither of {routes}")
    finish(site, told, told.records[place], kinds_of(told, place + 1))
