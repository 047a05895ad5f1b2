"""`deadletters show` and `deadletters replay`: what could not be used, and sending it again."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Final

import typer

from homeostat.commands.log import dead_letters
from homeostat.commands.options import DATA, DEFAULT_HOME, Home, Json, connected, named
from homeostat.commands.output import MISUSED, Failure, answer, cell, moment, people, say, table
from homeostat.dead_letter_replay import OWNER, SOURCES, Letter, letters, send_again
from streams import topics
from streams.adapters.kafka_python import KafkaPythonTransaction
from streams.ports import Fenced

BEGIN_S: Final = 10.0
SHOWN_DETAIL: Final = 120

OfModel = Annotated[str, typer.Option("--model", help="Only about this model.", show_default="all")]
OfTopic = Annotated[str, typer.Option("--topic", help="Only from this topic.", show_default="all")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids, or how they begin.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="Every one that was not sent again yet.")]


def show(model: OfModel = "", topic: OfTopic = "", limit: Limit = 20, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Show what could not be used, the newest last."""
    if topic and topic not in SOURCES:
        raise Failure(f"no dead letters come from {topic!r}; they come from: {', '.join(SOURCES)}.", MISUSED)
    found = [
        one for one in letters(dead_letters(connected(home))) if model in ("", one.model) and topic in ("", one.letter.topic)
    ]
    if as_json:
        answer({"total": len(found), "dead_letters": [_document(one) for one in found[-limit:]]})
        return
    if not found:
        say("no dead letter")
        return
    shown = table(f"Dead letters: {min(limit, len(found))} of {len(found)}", "id", "from", "model", "why", "sent again")
    for one in found[-limit:]:
        letter = one.letter
        place = f"{letter.topic}-{letter.partition}:{letter.offset}\n{moment(letter.at)}"
        detail = letter.detail if len(letter.detail) <= SHOWN_DETAIL else letter.detail[:SHOWN_DETAIL] + "…"
        why = f"{letter.reason} ({letter.payload_bytes:,} bytes): {detail}"
        state = "yes" if one.replayed else "cannot be" if one.refusal() else "no"
        shown.add_row(*map(cell, (letter.id[:8], place, one.model or "?", why, state)))
    people.print(shown)


def _document(one: Letter) -> dict[str, Any]:
    letter = one.letter
    return {
        "id": letter.id,
        "at": letter.at,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "model": one.model,
        "reason": letter.reason,
        "detail": letter.detail,
        "key": letter.key.decode(errors="replace"),
        "payload": letter.payload.decode(errors="replace"),
        "payload_bytes": letter.payload_bytes,
        "replayed": one.replayed,
        "cannot_replay": one.refusal(),
    }


def replay(ids: Ids = None, every: All = False, home: Home = DEFAULT_HOME, as_json: Json = False) -> None:
    """Send dead letters again: original bytes, topic and key; each once."""
    if bool(ids) == every:
        raise Failure("say which: ID..., or --all; `homeostat deadletters show` lists them.", MISUSED)
    settings = connected(home)
    transaction = KafkaPythonTransaction(settings.bootstrap_servers, OWNER)
    try:
        transaction.begin(BEGIN_S)  # before the letters are read: whoever sends them again at this moment is fenced
        known = {one.letter.id: one for one in letters(dead_letters(settings))}
        chosen = list(known.values()) if every else _named(ids or [], known)
        skipped = [one for one in chosen if one.replayed]
        refused = {one.letter.id: one.refusal() for one in chosen if not one.replayed and one.refusal()}
        again = [one.letter for one in chosen if not one.replayed and one.letter.id not in refused]
        sent = sum(send_again(transaction, again))
    except Fenced as error:
        raise Failure("somebody else sends dead letters again at this moment; try again when that is done.") from error
    finally:
        transaction.close()
    document = {"sent": sent, "sent_before": len(skipped), "refused": refused}
    if not as_json:
        by_topic = Counter(letter.topic for letter in again)
        where = "".join(f", {count} to {topic}" for topic, count in sorted(by_topic.items()))
        say(f"{sent} sent again{where}; {len(skipped)} were sent again before")
    if refused:
        listed = "; ".join(f"{key[:8]}: {why}" for key, why in refused.items())
        raise Failure(f"{len(refused)} cannot be sent again: {listed}.", document=document)
    if as_json:
        answer(document)


def _named(begins: list[str], known: dict[str, Letter]) -> list[Letter]:
    about = {key: f"{one.letter.topic}, {one.letter.reason}" for key, one in known.items()}
    return list({(key := named("dead letter", begin, about)): known[key] for begin in begins}.values())


def add(app: typer.Typer) -> None:
    """Add these commands."""
    group = typer.Typer(name=topics.DEAD_LETTERS, help="Show what could not be used, or send it again.", no_args_is_help=True)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group, rich_help_panel=DATA)
