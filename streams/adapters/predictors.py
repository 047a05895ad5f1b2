"""The predictor of a release, whatever its artefact's format: the same code in serving, in the gate and for the profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from streams.adapters import onnx_predictor, xgboost_predictor
from streams.adapters.artefact import Predictor, UnusableArtefact
from streams.contract import Contract
from streams.release import BlobStore, Release, digest_of, load_contract, load_release

FORMATS: Final[Mapping[str, Callable[[Contract, bytes], Predictor]]] = {
    xgboost_predictor.FORMAT: xgboost_predictor.load_booster,
    onnx_predictor.FORMAT: onnx_predictor.load_onnx,
}


def load_artefact(artefact_format: str, contract: Contract, artefact: bytes) -> Predictor:
    """The predictor of bytes that this process made or has verified. Raises UnusableArtefact."""
    load = FORMATS.get(artefact_format)
    if load is None:
        known = ", ".join(sorted(FORMATS))
        raise UnusableArtefact(
            f"artefact format {artefact_format!r}; there are: {known}. Was the release made by a newer version?"
        )
    return load(contract, artefact)


def load_predictor(release: Release, contract: Contract, artefact: bytes) -> Predictor:
    """The predictor of a release. Raises UnusableArtefact; the bytes are checked against the release before they are parsed."""
    found = digest_of(artefact)
    if found != release.artefact:
        raise UnusableArtefact(f"artefact has the digest {found}, the release names {release.artefact}: fetch it again.")
    return load_artefact(release.format, contract, artefact)


def load_served(store: BlobStore, digest: str) -> tuple[Release, Contract, Predictor]:
    """Release, contract and predictor by the release's digest. Raises BlobMissing, BlobCorrupt, UnusableArtefact."""
    release = load_release(store, digest)
    contract = load_contract(store, release.contract)
    try:
        return release, contract, load_predictor(release, contract, store.get(release.artefact))
    except msgspec.ValidationError as error:
        raise UnusableArtefact(f"release {digest} cannot be read: {error}.") from error
