"""A candidate in the store: each blob after those that it names, so that a crash leaves nothing that points nowhere."""

from __future__ import annotations

from collections.abc import Mapping

from streams.events import TrainingOrder
from streams.profile import Profile
from streams.release import Release, encode
from trainer.runcard import RunCard
from trainer.stored_release import StoredRelease
from trainer.workshop import Workshop


def store_model(artefact: bytes, profile: Profile, shop: Workshop) -> Mapping[str, str]:
    """Artefact and profile: the outputs of the card, by role."""
    digest = shop.store.put(artefact)
    shop.crash.reached("trainer:artefact_stored")
    outputs = {"artefact": digest, "profile": shop.store.put(encode(profile))}
    shop.crash.reached("trainer:profile_stored")
    return outputs


def store_card(card: RunCard, shop: Workshop) -> str:
    """The run card of whatever was made, or not made."""
    digest = shop.store.put(encode(card))
    shop.crash.reached("trainer:card_stored")
    return digest


def store_release(
    order: TrainingOrder, champion: StoredRelease, card: RunCard, card_digest: str, shop: Workshop, *, artefact_format: str
) -> str:
    """The release that the card's outputs are, kept whatever the gate said: a person may override it."""
    candidate = Release(
        model=champion.release.model,
        artefact=card.outputs["artefact"],
        format=artefact_format,
        contract=champion.release.contract,
        profile=card.outputs["profile"],
        card=card_digest,
        run=order.run,
        parent=order.champion,
    )
    release = shop.store.put(encode(candidate))
    shop.crash.reached("trainer:candidate_stored")
    return release
