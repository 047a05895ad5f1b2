"""The monitor killed between any two things that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from homeostat.chaos.crashes.end_state import check
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.verdict import require, until
from streams import topics
from streams.adapters.lake import read_lake
from streams.events import WindowCounted

ROLE: Final = "monitor"
ROWS: Final = 40
SOURCES: Final = (topics.PREDICTIONS, topics.LABELS)


def crash(site: Site, point: str) -> None:
    """Rows, labels and rubbish; die; start again: every row is counted once and in the lake once. Raises Unclean."""
    trainee = site.trainee()
    life = site.start(ROLE, dies_at=point)
    site.ready(ROLE)
    site.write(topics.LABELS, trainee.model.encode(), f"rubbish of {point}".encode())
    trainee.send(ROWS)
    life.killed_there()
    site.start(ROLE)
    model, wanted = trainee.model, dict.fromkeys(SOURCES, trainee.sent)
    until(lambda: counted(site, model) == wanted, lambda: f"windows count {wanted}; they count {counted(site, model)}")
    until(lambda: in_lake(site, model) == wanted, lambda: f"the lake has {wanted}; it has {in_lake(site, model)}")
    _rubbish_is_kept_as_it_was(site, point)
    check(site, model)


def counted(site: Site, model: str) -> dict[str, int]:
    """Rows of a model in its windows, each window taken once. Raises Unclean on a hole, or where a repeat differs."""
    taken = chain(site.log.look().windows(model))
    return {topic: sum(window.rows for window in taken if window.topic == topic) for topic in SOURCES}


def chain(published: Sequence[WindowCounted]) -> list[WindowCounted]:
    """What a consumer takes: the successor of each window, once."""
    last: dict[tuple[str, int], int] = {}
    by_id: dict[str, WindowCounted] = {}
    for window in published:
        place = window.topic, window.partition
        if window.first_offset <= last.get(place, -1):
            require(by_id.get(window.id) == window, f"a window was written again and differs: {window.id}")
            continue
        before = last.get(place, -1)
        require(window.previous_first_offset == before, f"a hole before {place} {window.first_offset}, behind {before}")
        last[place] = window.first_offset
        by_id[window.id] = window
    return list(by_id.values())


def in_lake(site: Site, model: str) -> dict[str, int]:
    """Rows of a model in the lake, each offset once."""
    return {
        topic: sum(
            read_lake(site.settings.lake, topic, number)[0]["model"].to_pylist().count(model)
            for number in range(topics.named(topic).partitions)
        )
        for topic in SOURCES
    }


def _rubbish_is_kept_as_it_was(site: Site, point: str) -> None:
    wanted = f"rubbish of {point}".encode()
    until(
        lambda: any(letter.payload == wanted for letter in site.log.look().dead_letters(topics.LABELS)),
        lambda: f"{wanted!r} is in the dead letters",
    )
    places = {(letter.partition, letter.offset) for letter in site.log.dead_letters(topics.LABELS) if letter.payload == wanted}
    require(len(places) == 1, f"{wanted!r} was written once, and is dead-lettered from {places}")
