"""What a challenger must know of its model, from the windows folded, the words on `control` and the store."""

from __future__ import annotations

from dataclasses import dataclass

from drift.monitoring import ModelState
from homeostat.challenger_start import Model
from homeostat.challenger_state import Heard
from homeostat.incident_book import IncidentBook
from streams.contract import Contract
from streams.release import BlobStore
from trainer.stored_release import load_stored


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reference:
    champion: str
    contract_digest: str
    contract: Contract
    registration: str


class ChallengerModels:
    """The newest champion's reference of each model is kept."""

    def __init__(self, store: BlobStore, book: IncidentBook) -> None:
        self._store = store
        self._book = book
        self._references: dict[str, _Reference] = {}

    def known(self, name: str, state: ModelState) -> Model | None:
        """None: nobody is known to serve it. Raises what a damaged store raises (BlobMissing, BlobCorrupt, ...)."""
        if not state.champion:
            return None
        reference = self._references.get(name)
        if reference is None or reference.champion != state.champion:
            reference = self._references[name] = self._loaded(name, state.champion)
        said = self._book.of(name)
        return Model(
            name=name,
            policy=state.policy,
            champion=state.champion,
            contract_digest=reference.contract_digest,
            contract=reference.contract,
            registration=reference.registration,
            heard=Heard(
                rules=said.rules,
                accepted=said.accepted,
                released=said.released,
                quarantining=state.policy.quarantine.enabled,
            ),
        )

    def _loaded(self, name: str, champion: str) -> _Reference:
        stored = load_stored(self._store, champion, name)
        return _Reference(
            champion=champion,
            contract_digest=stored.release.contract,
            contract=stored.contract,
            registration=stored.card.inputs.get("registration", ""),
        )
