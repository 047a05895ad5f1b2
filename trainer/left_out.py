"""Which rows are not learnt from, and why: what breaks the contract, what was served in quarantine, what a rule says of it since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from streams.contract import Contract, class_name, violation
from streams.events import QuarantineRule, Scalar, TrainingOrder
from streams.quarantine import covers, feature_of, flag_of, matches
from trainer.example import Example


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingOut:
    """Which rows are not learnt from, beside those that break the contract. Not `quarantining`: none, and no range is looked at."""

    quarantine: Sequence[QuarantineRule] = ()
    accepted: Sequence[str] = ()
    """Features that really changed: neither their range nor what was held against rows then counts; rules made since do."""
    released: Sequence[QuarantineRule] = ()
    """Rules that a person ended: their flags count no more."""
    quarantining: bool = True

    @classmethod
    def of(cls, order: TrainingOrder) -> LeavingOut:
        """What an order says."""
        return cls(
            quarantine=order.quarantine,
            accepted=order.accepted,
            released=order.released,
            quarantining=order.policy.quarantine.enabled,
        )

    def filters(self) -> tuple[str, ...]:
        """In words, for the manifest."""
        if not self.quarantining:
            return ("ranges are not looked at", "quarantine is off")
        lifted = (f"range of accepted features lifted: {', '.join(sorted(self.accepted))}",) if self.accepted else ()
        incidents = sorted({rule.incident for rule in self.quarantine})
        rules = (f"meets no rule of {', '.join(incidents)}",) if incidents else ()
        return (*lifted, "not logged in quarantine, but for accepted features and released incidents", *rules)


NO_RULES: Final = LeavingOut()


def fault(contract: Contract, example: Example, leaving: LeavingOut) -> str:
    """Why a row may not be learnt from: the first reason that is found; '' when there is none."""
    for feature in contract.features:
        kind = violation(feature, example.features.get(feature.name))
        if kind and not (kind == "range" and (feature.name in leaving.accepted or not leaving.quarantining)):
            return f"{feature.name}:{kind}"
    return _label_fault(contract, example.label) or (
        _quarantine_fault(contract, example, leaving) if leaving.quarantining else ""
    )


def _quarantine_fault(contract: Contract, example: Example, leaving: LeavingOut) -> str:
    """Its flags, if it was in quarantine when it was served; then the rules, some of which may be younger than the row."""
    if example.quarantined:
        reasons = [flag for flag in example.flags if feature_of(flag)]
        standing = [flag for flag in reasons if not _forgiven(flag, example, leaving)]
        if standing or not reasons:
            return standing[0] if standing else "quarantined"
    for rule in leaving.quarantine:
        feature = next((each for each in contract.features if each.name == rule.feature), None)
        if feature is None or not covers(rule, example.at):
            continue
        if matches(rule, feature, example.features.get(rule.feature)):
            return flag_of(rule)
    return ""


def _forgiven(flag: str, example: Example, leaving: LeavingOut) -> bool:
    """Whether a flag that a row was logged with is held against it no more."""
    if feature_of(flag) in leaving.accepted:
        return True
    return any(flag_of(rule) == flag and covers(rule, example.at) for rule in leaving.released)


def _label_fault(contract: Contract, label: Scalar) -> str:
    if contract.target.task == "classification":
        return "" if label is not None and class_name(label) in contract.target.classes else "label"
    return "label" if isinstance(label, (str, bool)) or label is None else ""
