"""The prediction id: what a label needs to be scored, sealed so that the client can only hand it back.

Layout: 1 byte key id, 8 bytes epoch, 4 bytes sequence number (the two are the nonce), AES-256-GCM of a MessagePack array,
in URL-safe base64 without padding. Nobody can make one, or change one, without the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
MAXIMUM_EPOCH: Final = 2**63 - 1
MAXIMUM_SEQ: Final = 2**32 - 1
MAXIMUM_LENGTH: Final = 2_048
"""Longest id that is looked at."""

_ARMS: Final = ("champion", "candidate", "control")
"""By index on the wire; only ever appended to."""
_HEADER_BYTES: Final = 13
_DIGEST_BYTES: Final = 32
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """What was predicted, by whom, under which route. All releases and the contract are digests (64 hex digits)."""

    epoch: int
    """Random, drawn once by each serving process: with `seq` the identity of the row, never used twice."""
    seq: int
    model: str
    release: str
    """The one that answered."""
    generation: int
    step: int
    arm: str
    at: datetime
    """Event time."""
    issued: datetime
    """Serving's clock: the label horizon counts from here."""
    contract: str
    """The champion's."""
    champion: str
    outputs: tuple[tuple[str, str, float | None], ...]
    """Every arm scored: (arm, release, value); None: late or failed."""
    quarantined: bool = False
    """Its label is kept, and counts for nothing."""


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    """Sealed on the wire: digests once each, concatenated, named by index, as arms are; times in microseconds."""

    model: str
    generation: int
    step: int
    arm: int
    at: int
    issued: int
    digests: bytes
    release: int
    contract: int
    champion: int
    outputs: tuple[tuple[int, int, float | None], ...]
    quarantined: bool = False


class Forged(Exception):
    """Not an id sealed under this key, or not unchanged."""


class Sealer:
    """Seals and unseals under one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the sealing key must be {KEY_BYTES} bytes, got {len(key)}.")
        # A key of its own, because the secret has other uses (entity hashes).
        own = hashlib.blake2b(key=key, digest_size=KEY_BYTES, person=b"prediction-id").digest()
        self._aead = AESGCM(own)
        self._key_id = hashlib.sha256(own).digest()[:1]
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Payload)

    def seal(self, sealed: Sealed) -> str:
        """The id. One (epoch, seq) must never be sealed twice with different content: it is the nonce."""
        if not (0 <= sealed.epoch <= MAXIMUM_EPOCH and 0 <= sealed.seq <= MAXIMUM_SEQ):
            raise ValueError(f"epoch must fit 63 bits and seq 32, got {sealed.epoch} and {sealed.seq}; start a new epoch.")
        header = self._key_id + sealed.epoch.to_bytes(8, "big") + sealed.seq.to_bytes(4, "big")
        payload = self._encoder.encode(_pack(sealed))
        body = self._aead.encrypt(header[1:], payload, header[:1])
        return base64.urlsafe_b64encode(header + body).rstrip(b"=").decode()

    def unseal(self, text: str) -> Sealed:
        """What was sealed. Raises Forged."""
        if len(text) > MAXIMUM_LENGTH:
            raise Forged(f"an id has at most {MAXIMUM_LENGTH} characters, got {len(text)}.")
        try:
            ascii_text = text.encode("ascii")
            data = base64.urlsafe_b64decode(ascii_text + b"=" * (-len(ascii_text) % 4))
        except (binascii.Error, UnicodeEncodeError) as error:
            raise Forged("not URL-safe base64.") from error
        # The decoder skips foreign characters and ignores the last spare bits: only the one spelling is accepted.
        if base64.urlsafe_b64encode(data).rstrip(b"=") != ascii_text:
            raise Forged("not the one spelling of its bytes.")
        if len(data) <= _HEADER_BYTES or data[:1] != self._key_id:
            raise Forged("sealed under another key, or no prediction id at all.")
        try:
            payload = self._decoder.decode(self._aead.decrypt(data[1:_HEADER_BYTES], data[_HEADER_BYTES:], data[:1]))
        except InvalidTag as error:
            raise Forged("its seal is broken.") from error
        except msgspec.DecodeError as error:
            raise Forged("sealed by a version that this one cannot read.") from error
        return _unpack(int.from_bytes(data[1:9], "big"), int.from_bytes(data[9:_HEADER_BYTES], "big"), payload)


def _pack(sealed: Sealed) -> _Payload:
    digests: dict[str, int] = {}
    for digest in (sealed.release, sealed.contract, sealed.champion, *(release for _, release, _ in sealed.outputs)):
        digests.setdefault(digest, len(digests))
    raw = b"".join(_digest_bytes(digest) for digest in digests)
    return _Payload(
        sealed.model,
        sealed.generation,
        sealed.step,
        _arm_index(sealed.arm),
        (sealed.at - _EPOCH_START) // _MICROSECOND,
        (sealed.issued - _EPOCH_START) // _MICROSECOND,
        raw,
        digests[sealed.release],
        digests[sealed.contract],
        digests[sealed.champion],
        # A class index takes one byte as an integer and nine as a double.
        tuple((_arm_index(arm), digests[release], _short(value)) for arm, release, value in sealed.outputs),
        sealed.quarantined,
    )


def _unpack(epoch: int, seq: int, payload: _Payload) -> Sealed:
    whole = payload.digests.hex()
    digests = [whole[start : start + 2 * _DIGEST_BYTES] for start in range(0, len(whole), 2 * _DIGEST_BYTES)]
    return Sealed(
        epoch=epoch,
        seq=seq,
        model=payload.model,
        release=digests[payload.release],
        generation=payload.generation,
        step=payload.step,
        arm=_ARMS[payload.arm],
        at=_EPOCH_START + timedelta(microseconds=payload.at),
        issued=_EPOCH_START + timedelta(microseconds=payload.issued),
        contract=digests[payload.contract],
        champion=digests[payload.champion],
        outputs=tuple((_ARMS[arm], digests[index], value) for arm, index, value in payload.outputs),
        quarantined=payload.quarantined,
    )


def _digest_bytes(digest: str) -> bytes:
    try:
        raw = bytes.fromhex(digest)
    except ValueError:
        raw = b""
    if len(raw) != _DIGEST_BYTES or raw.hex() != digest:
        raise ValueError(f"a release or contract is named by its SHA-256 (64 lower-case hex digits), got {digest!r}.")
    return raw


def _arm_index(arm: str) -> int:
    if arm not in _ARMS:
        raise ValueError(f"an arm is one of {', '.join(_ARMS)}, got {arm!r}.")
    return _ARMS.index(arm)


def _short(value: float | None) -> float | None:
    return int(value) if value is not None and value.is_integer() and abs(value) < 2**53 else value
