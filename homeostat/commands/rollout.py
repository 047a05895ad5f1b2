"""`promote`, `override`, `approve` and `rollback`: which release serves, by a person's word."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from config.settings import Settings
from homeostat.commands.log import decisions, route_of
from homeostat.commands.options import DEFAULT_HOME, STEER, WAIT_S, Home, Json, Model, Reason, Wait, connected, named
from homeostat.commands.output import MISUSED, Failure, answer, moment, say
from homeostat.commands.steering import Answered, ask, conclude, described, done, signed, spoken
from homeostat.model_view import ModelView, model_view
from homeostat.serving_client import model_document, wait_served
from streams.adapters.store import DirectoryStore
from streams.events import Approve, Override, Promote, RollBack
from streams.release import BlobCorrupt, BlobMissing, load_release

NOT_SKIPPED: Final = (
    "Not skipped: its files are checked against their digests, a release that fails or is slow is taken out, and the paired "
    "losses go on counting in every step and through the bake, and take it out."
)
DIGEST_LENGTH: Final = 64
_BACK: Final = {"RolledBack", "CandidateRejected"}

To = Annotated[
    str,
    typer.Option("--to", help="Release that served before (or how its digest begins).", show_default="the one before"),
]
WhichRelease = Annotated[str, typer.Argument(metavar="RELEASE", help="Digest, or how it begins.", show_default=False)]
Question = Annotated[
    str, typer.Argument(metavar="DECISION", help="Id of the `ApprovalWanted`.", show_default="the only open one")
]


def rollback(
    model: Model,
    to: To = "",
    reason: Reason = "by hand",
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Bring back an earlier release; confirmed by the serving process."""
    settings = connected(home)
    route_of(settings, model)
    view = model_view(decisions(settings, model))
    record = RollBack(**signed(model, reason), to=_served_before(view, to) if to else "")
    (answered,) = ask(settings, [record], wait)
    if done(answered, _BACK):
        _confirm(settings, answered, wait, as_json=as_json)
    else:
        conclude(settings, answered, _BACK, f"the rollback of {model}", as_json=as_json)


def _served_before(view: ModelView, begin: str) -> str:
    served = {stretch.release: f"served since {moment(stretch.since)}" for stretch in view.served}
    return named("release that served", begin, served)


def _confirm(settings: Settings, answered: Answered, wait: float, *, as_json: bool) -> None:
    """Only what the serving process says counts as rolled back. Raises Failure."""
    model = answered.record.model
    route = route_of(settings, model)
    served = wait_served(settings, model, route.generation, wait, route.champion)
    document = {
        **described(answered),
        "champion": route.champion,
        "generation": route.generation,
        "confirmed": served is not None,
    }
    if served is None:
        now = model_document(settings, model)
        decided = f"by the log {route.champion[:12]} serves {model} again"
        if now is None:
            why = f"serving does not answer, so that it could not be confirmed within {wait:g} s; start it, or read its log"
        else:
            why = (
                f"serving still answers with {str(now.get('champion'))[:12]} (generation {now.get('generation')}) after {wait:g} s: "
                "the release may be damaged or missing in the store"
            )
        hint = f"`homeostat logs serve --data {settings.data}`"
        raise Failure(f"{decided}, but {why}. See {hint}.", document={**document, "done": False, "served": now})
    if as_json:
        answer({**document, "done": True, "served": served})
        return
    for decision in answered.decisions:
        say(spoken(decision))
    say(f"confirmed by serving: {served['champion'][:12]} answers for {model}, generation {served['generation']}")


def promote(
    model: Model, release: WhichRelease, reason: Reason, wait: Wait = WAIT_S, home: Home = DEFAULT_HOME, as_json: Json = False
) -> None:
    """Offer a release as candidate: through shadow and canary, as any other."""
    settings = connected(home)
    digest = _stored(settings, model, release)
    (answered,) = ask(settings, [Promote(**signed(model, reason), release=digest)], wait)
    conclude(settings, answered, {"CandidateOffered"}, f"the offer of {digest[:12]} to {model}", as_json=as_json)


def override(
    model: Model, release: WhichRelease, reason: Reason, wait: Wait = WAIT_S, home: Home = DEFAULT_HOME, as_json: Json = False
) -> None:
    """Let a candidate past gate and shadow, into its first share of rows."""
    settings = connected(home)
    digest = _stored(settings, model, release)
    say(NOT_SKIPPED, as_json=as_json)
    (answered,) = ask(settings, [Override(**signed(model, reason), release=digest)], wait)
    wanted = {"GateOverridden", "ShadowOverridden"}
    conclude(settings, answered, wanted, f"the override for {digest[:12]} of {model}", as_json=as_json)


def _stored(settings: Settings, model: str, begin: str) -> str:
    """The digest of a release of this model that is whole in the store. Raises Failure."""
    route_of(settings, model)
    known = model_view(decisions(settings, model)).releases
    store = DirectoryStore(settings.store)
    digest = begin if len(begin) == DIGEST_LENGTH else named("release", begin, known)
    try:
        release = load_release(store, digest)
    except (BlobMissing, BlobCorrupt, msgspec.DecodeError) as error:
        raise Failure(f"release {digest[:12]} cannot be used: {error}") from error
    if release.model != model:
        raise Failure(f"release {digest[:12]} is one of {release.model!r}, not of {model!r}; nothing was written.", MISUSED)
    return digest


def approve(
    model: Model,
    decision: Question = "",
    reason: Reason = "approved",
    wait: Wait = WAIT_S,
    home: Home = DEFAULT_HOME,
    as_json: Json = False,
) -> None:
    """Agree to what a decision `ApprovalWanted` asks for."""
    settings = connected(home)
    route_of(settings, model)
    questions = {
        question.id: f"{moment(question.at)}: {question.why}" for question in model_view(decisions(settings, model)).questions
    }
    if not questions:
        raise Failure(f"{model} asks for nothing now; `homeostat history {model} --all` shows what it decided.")
    if not decision and len(questions) > 1:
        listed = "; ".join(f"{key[:12]} ({about})" for key, about in questions.items())
        raise Failure(f"{model} asks {len(questions)} things; say which: {listed}.", MISUSED)
    chosen = named("open question", decision, questions) if decision else next(iter(questions))
    (answered,) = ask(settings, [Approve(**signed(model, reason), decision=chosen)], wait)
    conclude(settings, answered, {"Approved"}, f"the approval for {model}", as_json=as_json)


def add(app: typer.Typer) -> None:
    """Add these commands."""
    for function in (promote, override, approve, rollback):
        app.command(rich_help_panel=STEER)(function)
