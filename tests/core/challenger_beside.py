"""A real challenger that learnt the rows of a source beside a champion, for tests of what is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from drift.challenger import Challenger, fresh, predicted_then_learnt
from drift.challenger_encoding import Shape
from drift.frozen_challenger import to_onnx
from streams.contract import Contract
from streams.encoding import Matrix, encode_columns
from streams.events import TrainingOrder
from tests.core.trainer_rows import label, minute, row
from tests.core.training_shop import MemoryStore, Rows, workshop
from trainer.frozen import ChallengerUnusable, Frozen, PairedLosses
from trainer.scored import ScoredRows
from trainer.stored_release import load_stored
from trainer.table import Table, encode_target
from trainer.workshop import Workshop

MEMORY_ROWS = 200


@dataclass
class OneChallenger:
    """What there is of model 'm', or what is wrong with it."""

    frozen: Frozen | ChallengerUnusable | None

    def read(self, model: str) -> Frozen | None:
        """It."""
        if isinstance(self.frozen, ChallengerUnusable):
            raise self.frozen
        return self.frozen if model == "m" else None


def table_of(rows: Rows) -> Table:
    """All rows of a source with their outcomes."""
    numbers = range(rows.number)
    content = [row(number, rows.seed)[0] for number in numbers]
    outcomes = {one.seq: one.label for one in rows.newest("m", minute(0), 0).labels}
    return Table(
        columns={name: tuple(features[name] for features in content) for name in ("x", "colour")},
        target=tuple(outcomes[label(number).seq] for number in numbers),
        at=tuple(minute(number) for number in numbers),
    )


def learnt(
    store: MemoryStore, champion: str, rows: Rows, *, export: Callable[[Contract], bytes] | None = None
) -> tuple[Challenger, Frozen, Matrix]:
    """The challenger after all rows, each predicted first; it frozen, beside that champion; and the rows as it reads them."""
    stored = load_stored(store, champion, "m")
    contract, table = stored.contract, table_of(rows)
    matrix, actual = encode_columns(contract, table.columns), encode_target(contract.target, table.target)
    state, losses = predicted_then_learnt(fresh(Shape.of(contract), MEMORY_ROWS), matrix, actual)
    frozen = Frozen(
        contract=stored.release.contract,
        known=frozenset(),
        learnt_until=minute(rows.number - 1),
        losses=PairedLosses(
            at=[minute(number) for number in range(rows.number)],
            champions=(champion,) * rows.number,
            champion=ScoredRows(contract, table, workshop(store)).losses_of(stored),
            challenger=losses,
        ),
        format="onnx",
        export=export or (lambda contract: to_onnx(state, contract)),
    )
    return state, frozen, matrix


def shop_with(store: MemoryStore, rows: Rows, frozen: Frozen | ChallengerUnusable | None) -> Workshop:
    """A workshop that has that challenger."""
    return replace(workshop(store, rows), challengers=OneChallenger(frozen))


def with_challenger(order: TrainingOrder) -> TrainingOrder:
    """The order that tries it, too."""
    return msgspec.structs.replace(order, challenger=True)
