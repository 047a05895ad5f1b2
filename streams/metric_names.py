"""Every metric, once: name, kind, help text, labels. The one place for metric names; label values are bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric family. `help` says what a rise means."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


REQUESTS: Final = Metric(
    name="homeostat_requests_total",
    kind="counter",
    help="HTTP requests answered, by model, route and status class.",
    labels=("model", "endpoint", "status"),
)
ROWS_ANSWERED: Final = Metric(
    name="homeostat_rows_answered_total",
    kind="counter",
    help="Rows answered, by model and the arm that answered.",
    labels=("model", "arm"),
)
ARM_FAILURES: Final = Metric(
    name="homeostat_arm_failures_total",
    kind="counter",
    help="Rows on which an arm failed or was late, by kind; the champion answered instead.",
    labels=("model", "arm", "kind"),
)
REQUEST_SECONDS: Final = Metric(
    name="homeostat_request_seconds",
    kind="histogram",
    help="Time from request read to answer written.",
    labels=("model", "endpoint"),
)
ROUTE_GENERATION: Final = Metric(
    name="homeostat_route_generation", kind="gauge", help="Generation of the route that this replica serves.", labels=("model",)
)
CANDIDATE_SHARE: Final = Metric(
    name="homeostat_candidate_share_ratio", kind="gauge", help="Share of requests that the candidate answers.", labels=("model",)
)
EVENTS_LOGGED: Final = Metric(
    name="homeostat_events_logged_total", kind="counter", help="Prediction events acknowledged by the broker.", labels=("model",)
)
EVENTS_DROPPED: Final = Metric(
    name="homeostat_events_dropped_total",
    kind="counter",
    help="Prediction events dropped because the bounded queue was full or the broker refused them: data lost.",
    labels=("model",),
)
LABELS_ACCEPTED: Final = Metric(
    name="homeostat_labels_accepted_total", kind="counter", help="Labels acknowledged by the broker.", labels=("model",)
)
LABELS_REFUSED: Final = Metric(
    name="homeostat_labels_refused_total", kind="counter", help="Labels refused with a 4xx, by reason.", labels=("reason",)
)

RECORDS_READ: Final = Metric(
    name="homeostat_records_read_total", kind="counter", help="Records read by this role, by topic.", labels=("role", "topic")
)
DEAD_LETTERS: Final = Metric(
    name="homeostat_dead_letters_total",
    kind="counter",
    help="Records that could not be used, by topic and reason.",
    labels=("role", "topic", "reason"),
)
REPEATS_DROPPED: Final = Metric(
    name="homeostat_repeats_dropped_total", kind="counter", help="Repeated predictions or labels dropped.", labels=("topic",)
)
WINDOWS_CLOSED: Final = Metric(
    name="homeostat_windows_closed_total", kind="counter", help="Windows published, by topic.", labels=("topic",)
)
LAKE_FILES: Final = Metric(
    name="homeostat_lake_files_total", kind="counter", help="Lake files written, by topic.", labels=("topic",)
)
LAKE_BYTES: Final = Metric(
    name="homeostat_lake_bytes_total", kind="counter", help="Bytes written to the lake.", labels=("topic",)
)
LAG_RECORDS: Final = Metric(
    name="homeostat_lag_records", kind="gauge", help="Records not yet read by this role.", labels=("role", "topic")
)
PARTITIONS_BLOCKED: Final = Metric(
    name="homeostat_partitions_blocked",
    kind="gauge",
    help="Partitions that this role cannot read on because a contract or release is not in the store: counting stands still.",
    labels=("role", "topic"),
)

ROWS_FOLDED: Final = Metric(
    name="homeostat_rows_folded_total",
    kind="counter",
    help="Rows whose windows the agents have folded.",
    labels=("model", "topic"),
)
WINDOW_HOLES: Final = Metric(
    name="homeostat_window_holes_total",
    kind="counter",
    help="Windows refused because their predecessor is missing: counts would be wrong.",
    labels=("model",),
)
DRIFT_STATISTIC: Final = Metric(
    name="homeostat_drift_statistic_ratio",
    kind="gauge",
    help="Detector statistic over its threshold (1 alarms), by feature.",
    labels=("model", "feature"),
)
DRIFT_ALARMS: Final = Metric(
    name="homeostat_drift_alarms_total", kind="counter", help="Drift signals, by feature.", labels=("model", "feature")
)
DETECTORS_ARMED: Final = Metric(
    name="homeostat_detectors_armed",
    kind="gauge",
    help="1 when the detectors of the serving release have finished their burn-in.",
    labels=("model",),
)
INCIDENTS_CALLED: Final = Metric(
    name="homeostat_quality_incidents_total",
    kind="counter",
    help="Data bugs called by the triage, by feature and kind.",
    labels=("model", "feature", "kind"),
)
INCIDENTS_LASTING: Final = Metric(
    name="homeostat_quality_incidents_open", kind="gauge", help="Data bugs whose feed is not well yet.", labels=("model",)
)
ACCURACY: Final = Metric(
    name="homeostat_loss_ratio", kind="gauge", help="Mean loss of the champion in the last closed period.", labels=("model",)
)

CHALLENGER_ROWS: Final = Metric(
    name="homeostat_challenger_rows_total",
    kind="counter",
    help="Label rows that the challenger took: scored, undrawn (not in its share), left_out (spoilt or no label), unfound (no prediction), unreadable (its file).",
    labels=("model", "outcome"),
)
CHALLENGER_SECONDS: Final = Metric(
    name="homeostat_challenger_seconds_total",
    kind="counter",
    help="Time spent on a model's challenger: reading, joining, scoring, learning, keeping.",
    labels=("model",),
)
CHALLENGER_BEGINNINGS: Final = Metric(
    name="homeostat_challenger_beginnings_total",
    kind="counter",
    help="Times that a challenger began anew; what it makes of the next rows says less.",
    labels=("model",),
)
CHALLENGER_FAILURES: Final = Metric(
    name="homeostat_challenger_failures_total",
    kind="counter",
    help="Errors that made a challenger begin anew; after three in a row it is off for some minutes.",
    labels=("model",),
)
CHALLENGER_OFF: Final = Metric(
    name="homeostat_challenger_off",
    kind="gauge",
    help="1: the challenger is off, by policy or by its failures, and staleness is measured by the champion's own loss.",
    labels=("model",),
)
CHALLENGER_LAG: Final = Metric(
    name="homeostat_challenger_lag_files", kind="gauge", help="Label files in the lake that it has not taken.", labels=("model",)
)

DECISIONS: Final = Metric(name="homeostat_decisions_total", kind="counter", help="Decisions, by kind.", labels=("model", "kind"))
STALENESS_LOST: Final = Metric(
    name="homeostat_staleness_lost_errors",
    kind="gauge",
    help="Excess loss since the last training, in errors.",
    labels=("model",),
)
STALENESS_PRICE: Final = Metric(
    name="homeostat_staleness_price_errors", kind="gauge", help="Price of a training, in errors.", labels=("model",)
)
TRAININGS: Final = Metric(name="homeostat_trainings_total", kind="counter", help="Trainings started.", labels=("model",))
PROMOTIONS: Final = Metric(name="homeostat_promotions_total", kind="counter", help="Candidates promoted.", labels=("model",))
RECALLS: Final = Metric(
    name="homeostat_recalls_total", kind="counter", help="Trainings spared by a release that served before.", labels=("model",)
)
CHALLENGERS_FROZEN: Final = Metric(
    name="homeostat_challengers_frozen_total",
    kind="counter",
    help="Releases made of the challenger as it stood.",
    labels=("model",),
)
HELD: Final = Metric(
    name="homeostat_held",
    kind="gauge",
    help="1 while a person holds the model (`pause`): nothing is trained, tried or promoted.",
    labels=("model",),
)
MIRROR_BEHIND: Final = Metric(
    name="homeostat_mirror_behind",
    kind="gauge",
    help="Partitions of control whose mirror on disk lacks a decision or a state: a log lost now could not be made anew whole.",
)
ROLLBACKS: Final = Metric(name="homeostat_rollbacks_total", kind="counter", help="Releases rolled back.", labels=("model",))

RUNS: Final = Metric(
    name="homeostat_runs_total", kind="counter", help="Training runs ended, by outcome.", labels=("model", "outcome")
)
RUN_SECONDS: Final = Metric(name="homeostat_run_seconds", kind="histogram", help="Duration of training runs.", labels=("model",))
TRIALS: Final = Metric(name="homeostat_trials_total", kind="counter", help="Search trials run.", labels=("model",))
WORKERS_LOST: Final = Metric(
    name="homeostat_workers_lost_total", kind="counter", help="Training workers that died and were replaced.", labels=()
)

ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
