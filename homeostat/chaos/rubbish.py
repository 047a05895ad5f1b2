"""Bytes that no sender of ours writes: undecodable, under wrong keys, not finite, absurd, oversized, from another time."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

import msgspec

from homeostat.chaos.broker import Broker
from homeostat.chaos.post import Post
from homeostat.control_fold import LIMIT_BYTES
from streams import topics
from streams.codec import encode_json
from streams.events import (
    UNIT,
    ArmEvidence,
    ChallengerScore,
    ChallengerScored,
    EvidenceGathered,
    LossesGathered,
    RetrainRequested,
    Route,
)
from streams.ports import Outgoing

HUGE: Final = 2**60
PERIOD_S: Final = 300
"""Length of the models' periods."""
ACTOR: Final = "?"
_BEYOND: Final = dict.fromkeys(("labels-0", "labels-1", "predictions-0", "predictions-1", "predictions-2"), 2**40)


class Rubbish:
    """Writes anything. What can be decoded is absurd: it must never count."""

    def __init__(self, broker: Broker, post: Post, rng: random.Random) -> None:
        self._broker = broker
        self._post = post
        self._rng = rng
        self._makers: tuple[Callable[[str, Route | None], Outgoing], ...] = (
            self._noise, self._not_finite, self._wrong_key, self._wrong_place, self._oversized, self._from_2099, self._long_id,
            self._losses, self._evidence, self._evidence, self._unregistered, self._scores, self._scores,
        )  # fmt: skip
        self._said = 0

    def throw(self, model: str, route: Route | None) -> None:
        """One record; `route`: what a forger may know."""
        self._said += 1
        make = self._rng.choice(self._makers)
        self._broker.say("rubbish", "{} {}", model, make.__name__)
        self._post.send_raw(make(model, route))

    def _at(self, model: str, value: bytes, key: bytes | None = None, partition: int | None = None) -> Outgoing:
        return Outgoing(
            topic=topics.CONTROL,
            key=model.encode() if key is None else key,
            value=value,
            partition=self._broker.partitions[model] if partition is None else partition,
        )

    def _wish(self, model: str) -> RetrainRequested:
        return RetrainRequested(id=f"rubbish-{self._said}", at=self._broker.now, model=model, actor=ACTOR, reason="?")

    def _noise(self, model: str, _: Route | None) -> Outgoing:
        value = self._rng.choice((b"\xff\x00", b"{", b"", b'{"type":"Reboot","id":"x"}', b"[" * 2_000))
        return self._at(model, value, self._rng.choice((None, b"", b"\xfe")))

    def _not_finite(self, model: str, _: Route | None) -> Outgoing:
        number = self._rng.choice((b"NaN", b"Infinity", b"1e999"))
        return self._at(model, encode_json(self._wish(model)).replace(b'"evidence":{}', b'"evidence":{"psi":' + number + b"}"))

    def _wrong_key(self, model: str, _: Route | None) -> Outgoing:
        return self._at(model, encode_json(self._wish(model)), b"another-model")

    def _wrong_place(self, model: str, _: Route | None) -> Outgoing:
        others = [number for number in self._broker.numbers if number != self._broker.partitions[model]]
        return self._at(model, encode_json(self._wish(model)), partition=self._rng.choice(others))

    def _oversized(self, model: str, _: Route | None) -> Outgoing:
        return self._at(model, b" " * (LIMIT_BYTES + 1))

    def _from_2099(self, model: str, _: Route | None) -> Outgoing:
        return self._at(
            model, encode_json(msgspec.structs.replace(self._wish(model), at=self._broker.now + timedelta(days=27_000)))
        )

    def _long_id(self, model: str, _: Route | None) -> Outgoing:
        return self._at(model, encode_json(msgspec.structs.replace(self._wish(model), id="i" * 300)))

    def _unregistered(self, model: str, _: Route | None) -> Outgoing:
        return self._at(model, encode_json(msgspec.structs.replace(self._wish(model), model="ghost")), b"ghost", None)

    def _losses(self, model: str, route: Route | None) -> Outgoing:
        n, loss = self._rng.choice(((-1, 0), (5, HUGE), (5, -1)))
        return self._at(
            model,
            encode_json(
                LossesGathered(
                    id=f"rubbish-{self._said}", at=self._broker.now, model=model, actor=ACTOR, reason="?",
                    release=route.champion if route else "", period=int(self._broker.now.timestamp()) // PERIOD_S, n=n, made=5, loss=loss, loss_squared=0,
                )
            ),
        )  # fmt: skip

    def _scores(self, model: str, route: Route | None) -> Outgoing:
        """Far beyond what the log of labels holds, about the newest period, and impossible in one number."""
        now = int(self._broker.now.timestamp()) // PERIOD_S
        (partition, first, end), (period, labelled, n, champion) = self._rng.choice(
            (
                ((-1, 2**40, 2**40 + 100), (now, 50, 50, 50 * UNIT)),
                ((2**40, 2**40, 2**40 + 100), (now, 50, 50, 50 * UNIT)),
                ((0, 2**40, 2**40 - 100), (now, 50, 50, 50 * UNIT)),
                ((0, 2**40, 2**40 + 100), (now + 1_000, 50, 50, 50 * UNIT)),
                ((0, 2**40, 2**40 + 100), (now, 50, 60, 50 * UNIT)),
                ((0, 2**40, 2**40 + 100), (now, 50, 50, 51 * UNIT)),
                ((0, 2**40, 2**40 + 100), (now, 50, -1, 0)),
                ((0, 2**40, 2**40 + 10), (now, 2**62, 0, 0)),
                ((0, 2**40, 2**60), (now, 2**50, 0, 0)),
            )
        )
        score = ChallengerScore(
            release=route.champion if route else "", period=period, labelled=labelled, n=n, champion=champion, challenger=0,
            difference_squared=0,
        )  # fmt: skip
        record = ChallengerScored(
            id=f"rubbish-{self._said}", at=self._broker.now, model=model, actor=ACTOR, reason="?", partition=partition,
            first_offset=first, end_offset=end, scores=(score,),
        )  # fmt: skip
        return self._at(model, encode_json(record))

    def _evidence(self, model: str, route: Route | None) -> Outgoing:
        """Of the step in force, all for the candidate, and impossible in one number."""
        n, better, answered, covers = self._rng.choice(
            (
                (HUGE, HUGE, 9, _BEYOND),
                (100, 200, 100, _BEYOND),
                (100, 200, 100, _BEYOND),
                (100, 100, -50, _BEYOND),
                (100, 100, 100, {}),
            )
        )
        generation, step = (route.generation, route.step) if route else (1, 0)
        candidate, champion = (route.candidate, route.champion) if route else ("", "")
        arms = tuple(
            ArmEvidence(arm=arm, release=release, answered=answered, scored=100)
            for arm, release in (("champion", champion), ("candidate", candidate))
        )
        return self._at(
            model,
            encode_json(
                EvidenceGathered(
                    id=f"rubbish-{self._said}", at=self._broker.now, model=model, actor=ACTOR, reason="?", generation=generation,
                    step=step, release=candidate, arm="candidate", champion=champion, covers=covers, n=n, worse=0, better=better,
                    difference=0, difference_squared=0, arms=arms,
                )
            ),
        )  # fmt: skip
