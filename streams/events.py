"""Every record that crosses a topic: frozen, tagged, versioned.

Facts are past tense, commands imperative. JSON on `predictions`, `labels`, `control`, `decisions`, `routes` and
`deadletters` (people and foreign systems read and write these), MessagePack on `windows` and `snapshots`.
Sums of real numbers are int64 in units of 2**-20 (`UNIT`): float sums would differ with the grouping of polls.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Final, Literal

import msgspec

from streams.policy import Policy

SCHEMA: Final = 1
UNIT: Final = 2**20
"""Sums travel as round(value * UNIT)."""

Scalar = float | str | bool | None
"""A feature's value as served; None: missing."""

_NAMESPACE: Final = uuid.UUID("6a0f1c52-6f0e-5a3a-9f7e-0d5d4a1c2b10")


def derived_id(*cause: str | int) -> str:
    """An id derived from its cause (uuid5), so that the same cause acts once however often it is seen.

    >>> derived_id("electricity", 7) == derived_id("electricity", 7)
    True
    """
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in cause)))


class Record(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every record carries. `at` is aware UTC: event time on the data plane, the writer's clock elsewhere."""

    id: str
    at: datetime
    model: str
    schema: int = SCHEMA


class Steering(Record, frozen=True, kw_only=True):
    """A record of `control`: who wants it and why. The signature is reserved for key management."""

    actor: str
    reason: str
    signature: str = ""

    @property
    def words(self) -> str:
        """Who wants it, and why."""
        return f"{self.actor}: {self.reason}"


# --- data plane ------------------------------------------------------------------------------------------------------


class ArmOutput(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one release said about one row. `value`: class index or number; None: late, failed or refused (see `failure`)."""

    arm: str
    """champion | candidate | control"""
    release: str
    value: float | None = None
    confidence: float | None = None
    """Probability of the predicted class; None for regression."""
    failure: str = ""
    """'' | late | exception | non_finite | wrong_shape"""


class Predicted(Record, frozen=True, kw_only=True, tag=True):
    """One row answered. `id` is the sealed prediction id; `epoch` and `seq` are the same identity in clear."""

    epoch: int
    seq: int
    release: str
    """The release whose output was given to the client."""
    arm: str
    generation: int
    step: int = 0
    """Rollout step at that moment: 0 is no rollout or shadow, 1.. are the policy's steps."""
    share: float = 0.0
    features: dict[str, Scalar]
    outputs: tuple[ArmOutput, ...]
    latency_us: int = 0
    """Time the answering arm took (not the request)."""
    flags: tuple[str, ...] = ()
    """Contract violations and quarantine rules met, each 'feature:kind'."""
    quarantined: bool = False
    """Answered, but kept out of detectors, losses, evidence and datasets."""
    entity: str = ""
    """Keyed hash of the entity key; never the key itself."""
    contract: str = ""


class Labelled(Record, frozen=True, kw_only=True, tag=True):
    """The outcome of one prediction: `prediction` is the sealed prediction id, `at` when the outcome became known."""

    prediction: str
    label: float | str | bool


class HeartBeaten(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True):
    """Written by the monitor into a partition whose window (or lake stretch) is open while nothing more comes."""

    schema: int = SCHEMA


# --- windows ---------------------------------------------------------------------------------------------------------


class ServedCounts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Requests answered or shadowed by one (release, arm) in one (generation, step)."""

    release: str
    arm: str
    generation: int
    step: int
    answered: int
    """Rows whose answer came from this arm."""
    scored: int
    """Rows for which this arm gave a valid output (answered ones included)."""
    failures: int
    """Rows for which it failed (exception, non_finite, wrong_shape)."""
    late: int
    latency: dict[int, int]
    """Log bin (2**(1/16) of a microsecond; see window.latency_bin) to count; only of rows it answered."""
    outputs: dict[int, int]
    """Prediction distribution: class index, or asinh bin of a number, to count."""


class MadeCounts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Predictions made in one event-time minute (minutes since the epoch) that carry this release's output."""

    minute: int
    release: str
    n: int


class FeatureCounts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Counts by grid bin of one feature under one contract. `missing` and `invalid` are apart."""

    contract: str
    feature: str
    bins: dict[int, int]
    missing: int
    invalid: int


class LossCounts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Losses (in [0, 1]) of one release on rows predicted in one event-time minute; sums in UNITs."""

    minute: int
    release: str
    n: int
    loss: int
    loss_squared: int


class PairCounts(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Paired losses of the answering champion and another arm on the same rows, by (generation, step)."""

    generation: int
    step: int
    arm: str
    """candidate | control"""
    release: str
    """Of that arm."""
    champion: str
    n: int
    worse: int
    """Rows on which that arm lost more than the champion."""
    better: int
    difference: int
    """Sum of loss(arm) - loss(champion), UNITs."""
    difference_squared: int


class WindowCounted(Record, frozen=True, kw_only=True, tag=True):
    """Counts of one stretch of one partition for one model. `at` is the largest event time in it (the watermark)."""

    topic: str
    partition: int
    first_offset: int
    end_offset: int
    """Exclusive."""
    previous_first_offset: int
    """First offset of this model's previous window on that partition; -1: none."""
    tick: int
    """Broker time of its first record, in ticks."""
    rows: int
    served: tuple[ServedCounts, ...] = ()
    made: tuple[MadeCounts, ...] = ()
    features: tuple[FeatureCounts, ...] = ()
    losses: tuple[LossCounts, ...] = ()
    pairs: tuple[PairCounts, ...] = ()
    repeated: int = 0
    """Repeats dropped."""
    quarantined_rows: int = 0
    """Of `rows`, those in quarantine: counted here and below, in `served` (not its outputs), and nowhere else."""
    quarantined: tuple[FeatureCounts, ...] = ()
    """Feature counts of the quarantined predictions, apart from `features`."""


# --- quarantine ------------------------------------------------------------------------------------------------------


class QuarantineRule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which rows a data bug spoils: those whose value of `feature` matches, from `since` (event time) to `until`.

    unit: outside [low, high] | stuck: in grid bin `bin` | missing: no value.
    """

    incident: str
    feature: str
    kind: Literal["unit", "stuck", "missing"]
    since: datetime
    until: datetime | None = None
    """None: still open."""
    low: float | None = None
    high: float | None = None
    bin: int | None = None


# --- control ---------------------------------------------------------------------------------------------------------


class ModelRegistered(Steering, frozen=True, kw_only=True, tag=True):
    """A model with its first champion and its policy."""

    release: str
    contract: str
    policy: Policy


class PolicySet(Steering, frozen=True, kw_only=True, tag=True):
    """A new policy from here on."""

    policy: Policy


class RetrainRequested(Steering, frozen=True, kw_only=True, tag=True):
    """Somebody (a person, a schedule, an alert) wants a training. The id is derived from the cause: twice is once."""

    cause: str = "manual"
    release: str = ""
    """The release it speaks of; refused once that one no longer serves. Empty: whichever serves."""
    evidence: dict[str, float] = {}
    window_rows: int = 0
    """Train on so many of the newest rows; 0: as the policy says."""


class DriftDetected(Steering, frozen=True, kw_only=True, tag=True):
    """A feature or prediction distribution left its reference. It explains and alerts, and buys only where a policy says so."""

    release: str
    feature: str
    statistic: float
    threshold: float
    since: datetime
    size: float
    """Shift in reference standard deviations (PSI for categories)."""


class DetectorsArmed(Steering, frozen=True, kw_only=True, tag=True):
    """The drift detectors of a release finished their burn-in on live rows."""

    release: str
    rows: int
    off: tuple[str, ...] = ()
    """Streams whose reference cannot support the declared rate, each 'feature: needs N rows'."""


class LossesGathered(Steering, frozen=True, kw_only=True, tag=True):
    """The losses of one release in one closed period (once per release and period)."""

    release: str
    period: int
    """floor(event time / period length)."""
    n: int
    period_seconds: int = 0
    """Length of the periods; 0: not told."""
    made: int
    """Predictions made in it: n < made means that labels are out."""
    loss: int
    loss_squared: int


class ChallengerScore(msgspec.Struct, frozen=True, kw_only=True):
    """Losses (in [0, 1], UNITs) of a release and of the challenger on the very same rows of one period."""

    release: str
    period: int
    labelled: int
    """Good labelled rows of that release and period in the file; `n` of them were drawn and scored."""
    n: int
    champion: int
    challenger: int
    difference_squared: int
    """Sum of (loss of the release - loss of the challenger) squared."""


class ChallengerScored(Steering, frozen=True, kw_only=True, tag=True):
    """What the challenger made of one finished lake file of labels, before it learnt from it."""

    partition: int
    """Of `labels`."""
    first_offset: int
    end_offset: int
    scores: tuple[ChallengerScore, ...]
    period_seconds: int = 0
    """Length of the periods; 0: not told."""
    restarted: str = ""
    """Why the challenger began anew before this file; empty: it went on."""


class ArmEvidence(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Exposure of one arm since the step began."""

    arm: str
    release: str
    answered: int = 0
    scored: int = 0
    failures: int = 0
    late: int = 0
    latency: dict[int, int] = {}


class EvidenceGathered(Steering, frozen=True, kw_only=True, tag=True):
    """Canary evidence, cumulative since (generation, step) began; `covers` is the vector of source offsets."""

    generation: int
    step: int
    release: str
    """The candidate (shadow, steps) or the control (bake)."""
    arm: str
    champion: str
    covers: dict[str, int]
    """'topic-partition' to the end offset of the last window counted."""
    n: int
    worse: int
    better: int
    difference: int
    difference_squared: int
    arms: tuple[ArmEvidence, ...] = ()


class TrainingFinished(Steering, frozen=True, kw_only=True, tag=True):
    """A run made a candidate and the gate judged it."""

    run: str
    release: str
    """The candidate, kept whether or not the gate let it through: a person may override the gate."""
    passed: bool
    card: str
    """Digest of the run card."""
    dataset: str
    rows: int
    seconds: float
    numbers: dict[str, float] = {}


class TrainingFailed(Steering, frozen=True, kw_only=True, tag=True):
    """An attempt ended without a candidate. `retryable`: infrastructure, not data."""

    run: str
    attempt: int
    retryable: bool


class RecallFinished(Steering, frozen=True, kw_only=True, tag=True):
    """Archived releases and the frozen challenger were tried on the newest labelled rows.

    Empty `release`: none that served before is proved better than the champion, and no challenger is let through.
    """

    run: str
    attempt: int
    release: str
    numbers: dict[str, float] = {}
    challenger: bool = False
    """The release is the frozen challenger, and new."""
    learnt_until: datetime | None = None
    """With it: when the newest row was predicted that it has learnt."""


class QualityIncident(Steering, frozen=True, kw_only=True, tag=True):
    """The agents call rows of a feature spoilt by a data bug (`closed` False), or well again (True); its cause is decided once."""

    release: str
    rule: QuarantineRule
    closed: bool
    numbers: dict[str, float] = {}


class AcceptChange(Steering, frozen=True, kw_only=True, tag=True):
    """A person says that a feature really changed: its incidents end, it is in quarantine no more, its range is lifted."""

    feature: str


class ReleaseQuarantine(Steering, frozen=True, kw_only=True, tag=True):
    """A person ends one incident: its rows may be learnt from. The triage goes on looking."""

    incident: str


class Promote(Steering, frozen=True, kw_only=True, tag=True):
    """A person offers a release of this model as candidate: through shadow and canary, as any other."""

    release: str


class Override(Steering, frozen=True, kw_only=True, tag=True):
    """A person lets a candidate past gate and shadow into its first step. Paired losses go on counting there and take it out."""

    release: str


class Approve(Steering, frozen=True, kw_only=True, tag=True):
    """A person agrees to what a decision `ApprovalWanted` asked for."""

    decision: str


class Pause(Steering, frozen=True, kw_only=True, tag=True):
    """The kill switch of a model: nothing is trained, tried or promoted; only ways back stay open."""


class Resume(Steering, frozen=True, kw_only=True, tag=True):
    """The model steers itself again."""


class Restored(Steering, frozen=True, kw_only=True, tag=True):
    """`homeostat restore` brings a model back from the mirror into an empty log: the first record of its new life."""

    incarnation: int
    state: bytes
    """MessagePack of the controller's state of the model, as the mirror kept it."""


class RollBack(Steering, frozen=True, kw_only=True, tag=True):
    """A person wants an earlier release back (empty `to`: the one that served before)."""

    to: str = ""


class Ticked(Steering, frozen=True, kw_only=True, tag=True):
    """The leader's clock, written before a deadline may act."""


Control = (
    ModelRegistered
    | PolicySet
    | RetrainRequested
    | DriftDetected
    | DetectorsArmed
    | LossesGathered
    | ChallengerScored
    | EvidenceGathered
    | TrainingFinished
    | TrainingFailed
    | RecallFinished
    | QualityIncident
    | AcceptChange
    | ReleaseQuarantine
    | Promote
    | Override
    | Approve
    | Pause
    | Resume
    | Restored
    | RollBack
    | Ticked
)

# --- decisions and routes --------------------------------------------------------------------------------------------


class Route(Record, frozen=True, kw_only=True, tag=True):
    """Who answers. Serving refuses a route whose (incarnation, generation, revision) is not higher than the one it has."""

    incarnation: int = 1
    generation: int
    champion: str
    candidate: str = ""
    step: int = 0
    """0: the candidate is in shadow only; 1..: the policy's steps."""
    share: float = 0.0
    """Of requests that the candidate answers."""
    control: str = ""
    """The previous champion, in shadow through the bake."""
    revision: int = 0
    """Counts changes of what follows, which change no role: evidence of the generation goes on."""
    quarantine: tuple[QuarantineRule, ...] = ()
    """Rows that match any are answered with a flag, or the policy's fallback, and kept out of everything else."""
    accepted: tuple[str, ...] = ()
    """Features whose contract range is lifted."""
    decision: str
    """Id of the decision that made it."""


class TrainingOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the trainer has to do: everything it needs, so that the run can be repeated."""

    run: str
    attempt: int
    champion: str
    policy: Policy
    as_of: datetime
    """Event time up to which labels are used."""
    seed: int
    cause: str
    parent: str = ""
    recall: tuple[str, ...] = ()
    """Try these archived releases on the newest labelled rows, and train nothing; the answer is `RecallFinished`."""
    challenger: bool = False
    """Freeze the challenger and make a release of it, and train nothing; the answer is `RecallFinished`."""
    training: bool = True
    """Train where nothing that exists is let through."""
    quarantine: tuple[QuarantineRule, ...] = ()
    """Rows left out of the dataset."""
    released: tuple[QuarantineRule, ...] = ()
    """Incidents that a person ended: what they say on a row counts no more."""
    accepted: tuple[str, ...] = ()
    """Features whose contract range is lifted."""

    @property
    def looks_first(self) -> bool:
        """Nothing is trained by it: what exists already is tried."""
        return bool(self.recall) or self.challenger


class Decided(Record, frozen=True, kw_only=True, tag=True):
    """What was decided, why (numbers), and from which record of `control`, by which version of the core.

    kinds: Registered PolicyChanged DriftNoted DetectorsReady PeriodSkipped StalenessMeasured TrainingBought TrainingRefused
    TrainingStarted TrainingRetried TrainingEnded CandidateRejected ShadowStarted StepTaken Promoted RolledBack BakeEnded
    EvidenceNoted CandidateQueued Refused RecallStarted Recalled IncidentOpened IncidentClosed ChangeAccepted CandidateOffered
    GateOverridden ShadowOverridden ApprovalWanted Approved Paused Resumed PersonAsked Restored
    ChallengerWanted ChallengerFrozen
    """

    kind: str
    why: str
    numbers: dict[str, float] = {}
    release: str = ""
    run: str = ""
    order: TrainingOrder | None = None
    """With RecallStarted, TrainingStarted and TrainingRetried."""
    champion: str = ""
    """Who serves from here on, where the decision changed the route."""
    incident: str = ""
    """With IncidentOpened and IncidentClosed."""
    cause: str
    """Id of the control record."""
    partition: int
    offset: int
    """Of the control record."""
    core: str


class DeadLettered(Record, frozen=True, kw_only=True, tag=True):
    """Input that could not be used: where it came from, why, and its bytes (base64), so that it can be replayed."""

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    key: bytes = b""
    payload: bytes = b""
    payload_bytes: int
    """Size of the original; `payload` is cut at 64 KiB."""


class Snapshot(Record, frozen=True, kw_only=True, tag=True):
    """State of one owner (`id`) with the offset up to which it is folded (exclusive). `model` is '' for whole partitions."""

    topic: str
    partition: int
    offset: int
    state: bytes
    """MessagePack of the owner's own struct."""
