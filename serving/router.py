"""Which arm answers a row, which arms are scored, and which of two routes is the newer one."""

from __future__ import annotations

import hashlib
from typing import Final

from streams.events import Route

CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
CONTROL: Final = "control"

_DRAW_BITS: Final = 64
_KEY_BYTES: Final = 32
_ENTITY_BYTES: Final = 16


def derived_key(secret: bytes, purpose: bytes) -> bytes:
    """A key of its own for one purpose (at most 16 bytes), so that the secret's other uses tell nothing about it."""
    return hashlib.blake2b(key=secret, digest_size=_KEY_BYTES, person=purpose).digest()


def entity_hash(key: bytes, entity: str) -> str:
    """What is logged and routed by in place of an entity key; '' where there is none."""
    if not entity:
        return ""
    return hashlib.blake2b(entity.encode(), key=key, digest_size=_ENTITY_BYTES).hexdigest()


def unit_of(entity: str, epoch: int, seq: int) -> str:
    """What is routed as one: the entity (hashed), so that it keeps meeting the same arm, or else the row by itself."""
    return f"entity:{entity}" if entity else f"row:{epoch}:{seq}"


def draw(salt: bytes, candidate: str, unit: str) -> float:
    """A number in [0, 1), fixed by candidate and unit and unknowable without the salt.

    The candidate is hashed too: other units go first in the next rollout.

    >>> draw(b"salt", "aa", "entity:7") == draw(b"salt", "aa", "entity:7")
    True
    """
    digest = hashlib.blake2b(f"{candidate}|{unit}".encode(), key=salt, digest_size=_DRAW_BITS // 8).digest()
    # 53 bits: all that a float holds, so that 1.0 itself cannot come out.
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53


def rolling(route: Route) -> bool:
    """Whether the candidate answers any rows at all."""
    return bool(route.candidate) and route.step >= 1 and route.share > 0.0


def answering_arm(route: Route, salt: bytes, unit: str) -> str:
    """The arm that should answer this unit. Whoever is in at one share is in at every larger one of the same rollout."""
    if rolling(route) and draw(salt, route.candidate, unit) < route.share:
        return CANDIDATE
    return CHAMPION


def scored_arms(route: Route) -> tuple[tuple[str, str], ...]:
    """Every (arm, release) scored on every row, the champion first; pairs go on whoever answers."""
    arms = ((CHAMPION, route.champion), (CANDIDATE, route.candidate), (CONTROL, route.control))
    return tuple((arm, release) for arm, release in arms if release)


def accepts(current: Route | None, new: Route) -> bool:
    """Whether `new` supersedes `current`: a later revision of its generation, a higher one, or a higher incarnation of the log."""
    return current is None or age(new) > age(current)


def age(route: Route) -> tuple[int, int, int]:
    """What tells which of a model's routes is the newer one: incarnation of the log, generation, revision."""
    return route.incarnation, route.generation, route.revision
