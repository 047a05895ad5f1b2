"""`homeostat register` killed between any two things that it writes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from homeostat.chaos.crashes.end_state import check
from homeostat.chaos.crashes.materials import SMALL, TARGET, table
from homeostat.chaos.crashes.site import Site
from homeostat.chaos.crashes.verdict import require, until
from homeostat.registration import register_model

WRITTEN: Final = "registration:written"
POLICY: Final = """
[training]
parameters = { rounds = 5, max_depth = 2 }
holdout_rows = 40
minimum_rows = 100
"""


def crash(site: Site, point: str) -> None:
    """Die in the command: until its record is written there is no model; done again, there is one. Raises Unclean."""
    model = site.new_name(point)
    site.running("control")
    site.running("serve")
    rows, policy = _files(site.settings.root)
    arguments = [
        "register",
        model,
        "--data",
        str(rows),
        "--target",
        TARGET,
        "--policy",
        str(policy),
        "--home",
        site.settings.data,
    ]
    site.command(arguments, dies_at=point).killed_there()
    records = site.log.whole().control(model)
    require(len(records) == (point == WRITTEN), f"{len(records)} records of the model are written at {point}")
    again = register_model(site.settings, model, table(), TARGET, SMALL, datetime.now(UTC))
    until(
        lambda: any(decision.cause == again.id for decision in site.log.look().decisions(model)),
        lambda: f"the second command is decided on; there is {site.log.kinds(model)}",
    )
    kinds = site.log.whole().kinds(model)
    require(kinds == (["Registered", "Refused"] if point == WRITTEN else ["Registered"]), f"registered twice is {kinds}")
    check(site, model)


def _files(directory: Path) -> tuple[Path, Path]:
    rows, policy = directory / "rows.csv", directory / "policy.toml"
    columns = table()
    lines = [",".join(columns), *(",".join(str(value) for value in values) for values in zip(*columns.values(), strict=True))]
    rows.write_text("\n".join(lines) + "\n")
    policy.write_text(POLICY)
    return rows, policy
