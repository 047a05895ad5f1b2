"""The trainer's sight of the challengers: the agents' state files, read as they stand and turned into artefacts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from drift.challenger_state import decode
from homeostat.challenger_ring import LossRing, losses_in
from homeostat.challenger_state import UnusableState, path_of, read_state
from streams.adapters.onnx_predictor import FORMAT
from streams.contract import Contract
from trainer.frozen import ChallengerUnusable, Frozen, PairedLosses

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ChallengerFiles:
    """State files under the data directory. A file is replaced whole, so that what is read fits together."""

    def __init__(self, data: Path) -> None:
        self._data = data

    def read(self, model: str) -> Frozen | None:
        """The challenger of a model as it stands; None: it has none. Raises ChallengerUnusable."""
        try:
            state = read_state(path_of(self._data, model))
            if state is None:
                return None
            losses = _paired(state.ring)
        except (UnusableState, ValueError) as error:
            raise ChallengerUnusable(str(error)) from error
        if state.model != model:
            raise ChallengerUnusable(f"its file is of model {state.model!r}, and {model!r} is wanted.")
        data = state.challenger
        return Frozen(
            contract=state.contract,
            known=frozenset(state.heard.incidents),
            learnt_until=state.learnt_until,
            losses=losses,
            format=FORMAT,
            export=lambda contract: _exported(data, contract),
        )


def _paired(ring: LossRing) -> PairedLosses:
    rows = losses_in(ring)
    return PairedLosses(
        at=[_EPOCH + timedelta(microseconds=at) for at in rows.at_us.tolist()],
        champions=rows.release,
        champion=rows.champion,
        challenger=rows.challenger,
    )


def _exported(data: bytes, contract: Contract) -> bytes:
    from drift.frozen_challenger import to_onnx  # with onnx, which only this needs

    try:
        return to_onnx(decode(data), contract)
    except ValueError as error:  # unreadable bytes are one, too
        raise ChallengerUnusable(str(error)) from error
