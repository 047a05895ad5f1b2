"""Where a replay's candidates come from: a release that served before, the challenger as it stands, or a training; each behind its gate."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from homeostat.electricity import Columns
from homeostat.offline import Fitted, fit
from homeostat.offline_challenger import OfflineChallenger
from serving.canary import Rollout
from streams.policy import Policy
from trainer import recall


def recalled(models: Mapping[str, Fitted], rollout: Rollout, policy: Policy, known: int) -> str:
    """The release to serve again, proved better on the newest rows before `known`; '' for none."""
    asked, champion = policy.recall, models[rollout.champion]
    if not asked.enabled:
        return ""
    archive = [name for name in reversed(rollout.served) if name != rollout.champion][: asked.releases]
    tried = []
    for name in archive:
        begin = max(known - asked.rows, models[name].trained_until, champion.trained_until)
        losses = [model.wrong[begin:known].astype(np.float64) for model in (models[name], champion)]
        tried.append(recall.Tried(release=name, losses=losses[0], champion=losses[1]))
    return recall.judge(tried, rows=asked.rows, alpha=asked.alpha, least_gain=policy.training.gate_margin).release


def frozen(challenger: OfflineChallenger, policy: Policy, *, known: int, champion: Fitted, served_from: int) -> Fitted | None:
    """The challenger as it stands, unless it lost too much on the newest rows that this champion scored."""
    begin = max(known - policy.training.holdout_rows, served_from)
    lost = int(challenger.wrong[begin:known].sum()) - champion.errors(begin, known)
    if begin >= known or lost / (known - begin) > policy.training.gate_margin:
        return None
    return challenger.frozen(known)


def trained(columns: Columns, policy: Policy, *, known: int, champion: Fitted) -> Fitted | None:
    """A model of the newest rows, unless the gate refuses it."""
    asked = policy.training
    cut = known - asked.holdout_rows
    candidate = fit(columns, max(known - asked.window_rows, 0), cut, asked.parameters)
    lost = candidate.errors(cut, known) - champion.errors(cut, known)
    return None if lost / max(asked.holdout_rows, 1) > asked.gate_margin else candidate
