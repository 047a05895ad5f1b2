"""What of a model's policy serving acts on by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.policy import Policy, QuarantinePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPolicy:
    """How features are logged, and what is done about spoilt rows."""

    log: Mapping[str, str] = field(default_factory=dict)
    """Per feature: keep | hash | bin | drop."""
    quarantine: QuarantinePolicy = field(default_factory=QuarantinePolicy)


def served_policy(policy: Policy) -> ServedPolicy:
    """That part of it."""
    return ServedPolicy(log=dict(policy.log), quarantine=policy.quarantine)
