"""The sealed prediction id: it comes back whole, and nothing else comes back at all."""

from __future__ import annotations

import base64
import hashlib
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streams.adapters.secret import load_or_create_key
from streams.prediction_id import MAXIMUM_EPOCH, MAXIMUM_SEQ, Forged, Sealed, Sealer

KEY = bytes(range(32))
SEALER = Sealer(KEY)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


PLAIN = Sealed(
    epoch=2**62 + 12345,
    seq=7,
    model="electricity",
    release=digest("r2"),
    generation=3,
    step=1,
    arm="candidate",
    at=datetime(1996, 5, 7, 0, 30, tzinfo=UTC),
    issued=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    contract=digest("c"),
    champion=digest("r1"),
    outputs=(("champion", digest("r1"), 1.0), ("candidate", digest("r2"), 0.0), ("control", digest("r0"), None)),
)

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC).replace(tzinfo=None)  # hypothesis wants them naive
LATEST = datetime(2200, 1, 1, tzinfo=UTC).replace(tzinfo=None)
moments = st.datetimes(min_value=EARLIEST, max_value=LATEST, timezones=st.just(UTC))
names = st.sampled_from(["r0", "r1", "r2", "r3"]).map(digest)
sealed_ids = st.builds(
    Sealed,
    epoch=st.integers(0, MAXIMUM_EPOCH),
    seq=st.integers(0, MAXIMUM_SEQ),
    model=st.text(max_size=40),
    release=names,
    generation=st.integers(0, 2**40),
    step=st.integers(0, 9),
    arm=st.sampled_from(["champion", "candidate", "control"]),
    at=moments,
    issued=moments,
    contract=names,
    champion=names,
    outputs=st.lists(
        st.tuples(st.sampled_from(["champion", "candidate", "control"]), names, st.none() | st.floats(allow_nan=False)),
        max_size=4,
    ).map(tuple),
)


@given(sealed_ids)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_what_was_sealed_comes_back_whole(sealed: Sealed) -> None:
    """Unsealing gives what was sealed, floats bit for bit, in characters that a URL carries as they are."""
    text = SEALER.seal(sealed)
    assert SEALER.unseal(text) == sealed
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_an_id_with_two_arms_is_short() -> None:
    """With a candidate in shadow an id stays below 250 characters: it rides in every answer and label."""
    two = replace(PLAIN, outputs=PLAIN.outputs[:2])
    assert len(SEALER.seal(two)) < 250


def test_every_bit_flip_is_refused() -> None:
    """No single flipped bit, in header or body, goes unnoticed."""
    text = SEALER.seal(PLAIN)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    for position in range(len(raw) * 8):
        raw[position // 8] ^= 1 << position % 8
        with pytest.raises(Forged):
            SEALER.unseal(base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())
        raw[position // 8] ^= 1 << position % 8


def test_an_id_has_one_spelling() -> None:
    """Changing any character, even the spare bits of the last, or adding one that base64 skips, is refused."""
    text = SEALER.seal(PLAIN)
    for position in range(len(text)):
        other = "A" if text[position] != "A" else "B"
        with pytest.raises(Forged):
            SEALER.unseal(text[:position] + other + text[position + 1 :])
    for spelling in (text + "=", text + "\n", " " + text, text[:9] + "!" + text[9:], text + "A", text[:-1], text.lower()):
        with pytest.raises(Forged):
            SEALER.unseal(spelling)
    odd = Sealer(KEY).seal(replace(PLAIN, model="electricity1"))
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for sealed in (text, odd):
        for last in set(alphabet) - {sealed[-1]}:
            with pytest.raises(Forged):
                SEALER.unseal(sealed[:-1] + last)


@pytest.mark.parametrize("text", ["", "A", "AAAA", "not an id", "é", "\ud800", "A" * 200, "A" * 100_000, "%00", "=" * 8])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    """Anything that a client may invent is Forged, whatever its length or alphabet."""
    with pytest.raises(Forged):
        SEALER.unseal(text)


def test_another_key_is_refused() -> None:
    """Ids of another installation are refused, also where the key-id byte happens to be the same."""
    text = SEALER.seal(PLAIN)
    first = base64.urlsafe_b64decode(text[:4])[:1]
    same_byte = 0
    for number in range(1_000):
        other = Sealer(number.to_bytes(32, "little"))
        same_byte += base64.urlsafe_b64decode(other.seal(PLAIN)[:4])[:1] == first
        with pytest.raises(Forged):
            other.unseal(text)
    assert same_byte > 0


def test_what_cannot_be_sealed_says_why() -> None:
    """A sequence number beyond the nonce, a name that is no digest and a short key are errors of ours."""
    with pytest.raises(ValueError, match="new epoch"):
        SEALER.seal(replace(PLAIN, seq=2**32))
    for bad in ("", "r1", digest("r1").upper(), digest("r1")[:-2]):
        with pytest.raises(ValueError, match="SHA-256"):
            SEALER.seal(replace(PLAIN, champion=bad))
    with pytest.raises(ValueError, match="an arm is one of"):
        SEALER.seal(replace(PLAIN, arm="challenger"))
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")


def test_the_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """Everybody who starts at once reads the same key; the file is for its owner alone; a readable one is refused."""
    path = tmp_path / "deep" / "secret.key"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_or_create_key(path), range(32)))
    assert len(set(keys)) == 1 and len(keys[0]) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret.key"]
    path.chmod(0o644)
    with pytest.raises(PermissionError, match="0600"):
        load_or_create_key(path)
    path.chmod(0o600)
    path.write_bytes(b"cut")
    with pytest.raises(ValueError, match="32 bytes"):
        load_or_create_key(path)
