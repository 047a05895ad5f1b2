"""The run card: what a person, or another program, needs to judge, repeat or cite a run."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The software a run ran in."""

    python: str = ""
    platform: str = ""
    packages: dict[str, str] = {}
    """Versions of what the outcome depends on."""
    image: str = ""
    """Container image by digest; empty outside a container."""


class RunCard(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whatever came of it. Digests name blobs in the same store."""

    title: str
    run: str
    attempt: int
    model: str
    environment: Environment
    commit: str
    """Of this program's source, where it is known."""
    step: str
    """What of the loop this was: 'registration', 'training' or 'frozen challenger'."""
    command: str
    """How it would be repeated, with placeholders: a command, or in words where there is none."""
    interpolated_command: str
    """The same with what was meant."""
    inputs: dict[str, str]
    """By role: dataset (manifest), rows (Parquet), registration (Parquet), champion (release), contract."""
    outputs: dict[str, str]
    """By role: artefact, profile; kept where the gate refused, too. Empty: the model said things that are no numbers."""
    parameters: dict[str, float]
    seeds: dict[str, int]
    created: datetime | None
    """Wall clock at the start; None where the caller keeps it out, so that equal content has an equal digest."""
    executor: str
    duration_s: float
    phases_s: dict[str, float]
    """Where the duration went."""
    resources: dict[str, float]
    """workers, threads_per_fit, fit_seconds, dataset_bytes, artefact_bytes."""
    price: float
    """What the policy says a training costs, in units of loss."""
    tags: dict[str, str]
    metrics: dict[str, float]
    parent: str
    """Release that served when it was trained; '' for the first."""
    cause: str
    """Id of the record that asked for it."""
    regret: float | None = None
    """Loss lost because it came when it did, rather than at the best time: only known later, and measured then."""
    trained_until: datetime | None = None
    """Event time of the newest row it was fitted on; None: none was served."""
    schema: int = 1
