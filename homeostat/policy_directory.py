"""`<data>/policies/MODEL.toml`: the policies that people keep as files, and what is to be written for them to be in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

from homeostat.policy_file import PolicyError, load_policy
from streams.adapters.store import write_durably
from streams.codec import encode_json
from streams.events import PolicySet, derived_id
from streams.policy import Policy
from streams.release import digest_of

SUFFIX: Final = ".toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """The policy of a model as the log has it, and the decision that put it there."""

    policy: Policy
    decision: str


def policy_path(directory: Path, model: str) -> Path:
    """The file of that model. Names that are no file names are percent-encoded, so that none leads out of the directory."""
    name = quote(model, safe=" ")
    return directory / f"{name.replace('.', '%2E') if name.startswith('.') else name}{SUFFIX}"


def load_policies(directory: Path) -> dict[str, Policy]:
    """Every policy in the directory by model; none where there is no directory. Raises PolicyError with all that is wrong."""
    policies: dict[str, Policy] = {}
    wrong = []
    for path in sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else ():
        try:
            policies[unquote(path.stem)] = load_policy(path)
        except PolicyError as error:
            wrong.append(str(error))
    if wrong:
        raise PolicyError("\n".join(wrong))
    return policies


def keep_policy(directory: Path, model: str, text: bytes | None) -> bytes | None:
    """Make this the model's file, as it was written; None: no file. Gives what was there before."""
    path = policy_path(directory, model)
    before = path.read_bytes() if path.exists() else None
    if text is None:
        path.unlink(missing_ok=True)
    else:
        directory.mkdir(parents=True, exist_ok=True)
        write_durably(path, text)
    return before


def to_be_set(wanted: Mapping[str, Policy], in_force: Mapping[str, InForce], at: datetime) -> list[PolicySet]:
    """One record for each registered model whose file says otherwise than the log.

    The id derives from the file's policy and the decision that it replaces: starting twice sets it once, and a policy that
    comes back after another one is set again.
    """
    records = []
    for model, policy in sorted(wanted.items()):
        present = in_force.get(model)
        if present is None or present.policy == policy:
            continue
        name = f"policies/{policy_path(Path(), model).name}"
        records.append(
            PolicySet(
                id=derived_id(model, "policy file", digest_of(encode_json(policy)), present.decision),
                at=at,
                model=model,
                actor=f"file:{name}",
                reason=f"{name} differs from the policy in force",
                policy=policy,
            )
        )
    return records
