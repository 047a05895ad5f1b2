"""The policy of one model: every number that a decision depends on, carried whole in the log.

A field that is not known is refused, also in the log: a policy that is obeyed in part would be another one.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from streams.price import price_in_errors


class StalenessPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a training pays."""

    period: timedelta = timedelta(hours=1)
    """Event time of one decision period."""
    maturity: timedelta = timedelta(0)
    """How long after a period's end its labels are waited for (event time)."""
    retrain_cost: str = "200 errors"
    """What a training costs: 'N errors' (units of loss; for classifiers wrong answers), 'N seconds' of computing, or money, as in
    '3.50 EUR'."""
    error_value: float = 0.0
    """Money that one error costs; wanted where the cost is in money or seconds."""
    second_value: float = 0.0
    """Money that a second of computing costs; wanted where the cost is in seconds."""
    challenger_cost: float = 0.1
    """What letting the frozen challenger in costs, as a share of a training: no computing, but the canary's rows and attention."""
    noise_trainings: float = 3.0
    """Trainings that noise alone may buy in 1,000 periods in which nothing changes. Fewer: surer, and later."""
    trigger: str = "staleness"
    """What buys trainings: staleness | drift (alarms of the detectors; for models whose labels never come) | nothing."""

    @property
    def price_errors(self) -> float:
        """The cost of a training in errors. Raises BadPrice, which no policy does that was found without fault."""
        return price_in_errors(self.retrain_cost, error_value=self.error_value, second_value=self.second_value)


class ChallengerPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The always-learning model beside the champion, by which staleness is measured."""

    enabled: bool = True
    """Off: the champion's own loss is measured instead, where labels or features do not suit."""
    share: float = 1.0
    """Of the labelled rows that it tests and learns; drawn by prediction, the same on every machine."""
    candidate: bool = True
    """Frozen, it is tried before a training is bought, as releases that served before are."""
    silent_periods: int = 8
    """So many periods in a row without a word of it, and the champion's own loss is measured instead."""


class AdmissionPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What bounds the trainings of a model. Durations are event time."""

    cooldown: timedelta = timedelta(0)
    trainings_per_30_days: int = 60
    """Budget of started runs in any 30 days of event time."""
    attempts: int = 3
    """Tries of one run when infrastructure fails."""
    deadline: timedelta = timedelta(hours=1)
    """Controller time from the start of an attempt to its end."""
    failures_to_open: int = 5
    """So many failed runs in a row stop automatic trainings until a person asks for one."""


class TrainingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is trained, on what, and what must be true of it before it may be tried."""

    recipe: str = "xgboost"
    parameters: dict[str, float] = {}
    """Fixed parameters of the recipe."""
    search: dict[str, tuple[float, float]] = {}
    """Searched parameters, each (low, high)."""
    trials: int = 1
    window_rows: int = 5_000
    holdout_rows: int = 200
    """The newest labelled rows, kept from training, for the gate."""
    minimum_rows: int = 500
    minimum_class_rows: int = 20
    gate_margin: float = 0.05
    """The candidate may lose at most so much more than the champion on the holdout."""
    task: str = "classification"
    seed: int = 0
    """Of the search and the fits; each run of a model draws its own from it."""


class CanaryPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a candidate is let in (units are labelled rows and answered rows)."""

    margin: float = 0.02
    """Loss: the candidate must be proved less than so much worse."""
    alpha_promote: float = 0.05
    alpha_rollback: float = 0.05
    steps: tuple[float, ...] = (0.1, 0.5, 1.0)
    step_rows: int = 100
    """Minimum exposure: rows answered in a step, by both arms together, before the next."""
    shadow_least_rows: int = 100
    """Labelled rows in shadow before its loss is judged, either way: a whole season of labels that depend on each other
    in time. Nothing is risked meanwhile."""
    shadow_rows: int = 20_000
    """Labelled rows in shadow after which an undecided candidate is rejected."""
    failure_margin: float = 0.01
    latency_ratio: float = 2.0
    bake_rows: int = 1_000
    """Labelled rows for which the previous champion stays in shadow after the promotion."""
    deadline: timedelta = timedelta(days=7)
    """Controller time from shadow to promotion."""
    newer: str = "waits"
    """What a newer candidate does meanwhile: waits | replaces (the one in shadow, and never two in a row)."""


class DriftPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often the detectors may be wrong, and what they ignore."""

    false_alarm_every_rows: int = 100_000
    """Declared mean number of rows to a false alarm, whole model."""
    tolerance_sd: float = 0.1
    burn_in_rows: int = 500


class QuarantinePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done about data bugs."""

    enabled: bool = True
    """Off: spoilt rows are counted, judged and learnt from like any other."""
    fallback: str = ""
    """What a spoilt row is answered with: a class, or a number; empty: the model's answer, with a flag."""


class RecallPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether releases that served before are tried again before a training is bought."""

    enabled: bool = True
    releases: int = 10
    """So many of those that served last."""
    rows: int = 100
    """Newest labelled rows on which they are tried: few, because older ones are of the world before."""
    alpha: float = 0.05
    """Chance that any of them is taken for better than the champion when none is; the canary proves it again."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    autonomy: str = "auto"
    """observe: measures and says | suggest: asks before a training and before live traffic | approve: trains, and asks before
    live traffic | auto: acts."""
    staleness: StalenessPolicy = StalenessPolicy()
    challenger: ChallengerPolicy = ChallengerPolicy()
    admission: AdmissionPolicy = AdmissionPolicy()
    training: TrainingPolicy = TrainingPolicy()
    canary: CanaryPolicy = CanaryPolicy()
    drift: DriftPolicy = DriftPolicy()
    quarantine: QuarantinePolicy = QuarantinePolicy()
    recall: RecallPolicy = RecallPolicy()
    log: dict[str, str] = {}
    """Per feature: keep | hash | bin | drop; 'keep' where not named."""
