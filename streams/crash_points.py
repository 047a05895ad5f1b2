"""The named places at which a test may have a process killed, as a power failure would: one between any two effects.

An effect is what outlives the process: a blob, a file, a record, a committed transaction. The code says
`crash.reached("place:effect")` behind each; what `crash` does there is the adapter's matter (nothing, as a rule).
"""

from __future__ import annotations

from typing import Final, Protocol


class CrashPoints(Protocol):
    """Told of every point that is passed."""

    def reached(self, point: str) -> None:
        """Return, or end the process for good."""


class _Nowhere:
    def reached(self, point: str) -> None:
        """Go on."""


NOWHERE: Final[CrashPoints] = _Nowhere()
"""What everybody has but a process that a test wants killed."""

COMMENTARY: Final = frozenset(
    {"Refused", "DriftNoted", "DetectorsReady", "PeriodSkipped", "StalenessMeasured", "TrainingRefused", "EvidenceNoted"}
)
"""Kinds of decision that say something and set nothing going; every other kind has a point on both sides of its commit."""

DECISIVE: Final = (
    "Registered",
    "PolicyChanged",
    "TrainingBought",
    "TrainingStarted",
    "TrainingRetried",
    "TrainingEnded",
    "ShadowStarted",
    "StepTaken",
    "Promoted",
    "RolledBack",
    "BakeEnded",
    "CandidateRejected",
    "CandidateQueued",
    "RecallStarted",
    "Recalled",
    "IncidentOpened",
    "IncidentClosed",
    "ChangeAccepted",
    "CandidateOffered",
    "GateOverridden",
    "ShadowOverridden",
    "ApprovalWanted",
    "Approved",
    "Paused",
    "Resumed",
    "PersonAsked",
    "Restored",
    "ChallengerWanted",
    "ChallengerFrozen",
)


def before_commit(kind: str) -> str:
    """The point before the transaction with a decision of that kind."""
    return f"controller:before_commit:{kind}"


def after_commit(kind: str) -> str:
    """The point after it is committed."""
    return f"controller:after_commit:{kind}"


IN_TRANSACTION: Final = "controller:in_transaction"
"""All records of a transaction are with the broker, and it is not committed."""
BEFORE_MIRROR: Final = "mirror:before"
"""The transaction is committed; the mirror beside the log does not know of it."""

MIRRORED_DECISIONS: Final = "mirror:decisions_written"
"""The mirror has the decisions, and still the state before them."""

MIRRORED_STATE: Final = "mirror:state_written"
"""The mirror has decisions and state, and no note of it yet."""

REGISTRATION: Final = (
    "registration:contract_stored",
    "registration:data_stored",
    "registration:dataset_stored",
    "registration:artefact_stored",
    "registration:profile_stored",
    "registration:card_stored",
    "registration:stored",
    "registration:written",
)
CONTROLLER: Final = (
    *(before_commit(kind) for kind in DECISIVE),
    IN_TRANSACTION,
    *(after_commit(kind) for kind in DECISIVE),
    BEFORE_MIRROR,
    MIRRORED_DECISIONS,
    MIRRORED_STATE,
)
TRAINER: Final = (
    "trainer:ordered",
    "trainer:recall_kept",
    "trainer:data_stored",
    "trainer:dataset_stored",
    "trainer:artefact_stored",
    "trainer:profile_stored",
    "trainer:card_stored",
    "trainer:candidate_stored",
    "trainer:result_kept",
    "trainer:result_written",
)
SERVING: Final = ("serving:route_taken", "serving:blob_cached", "serving:swapped", "serving:remembered")
MONITOR: Final = (
    "monitor:lake_written",
    "monitor:pages_kept",
    "monitor:letters_written",
    "monitor:window_written",
    "monitor:snapshot_written",
)
AGENTS: Final = (
    "agents:signal_written",
    "agents:snapshot_written",
    "agents:challenger_kept",
    "agents:challenger_written",
)

ALL: Final[tuple[str, ...]] = (*REGISTRATION, *SERVING, *TRAINER, *MONITOR, *AGENTS, *CONTROLLER)
