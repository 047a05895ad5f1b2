"""What the run card says of the process: versions, platform, and the commit of the source where there is one."""

from __future__ import annotations

import functools
import platform
from importlib import metadata
from pathlib import Path
from typing import Final

from trainer.runcard import Environment

PACKAGES: Final = ("homeostat", "msgspec", "numpy", "optuna", "pyarrow", "ray", "scipy", "xgboost", "xgboost-cpu")


@functools.cache
def environment(image: str = "") -> Environment:
    """The software of this process."""
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: version for name in PACKAGES if (version := _version(name))},
        image=image,
    )


@functools.cache
def commit() -> str:
    """The commit that the source beside this package is checked out at; '' for an installed copy."""
    git = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        reference = head.removeprefix("ref: ")
        loose = git / reference
        if loose.is_file():
            return loose.read_text().strip()
        packed = (git / "packed-refs").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(" ")[0] for line in packed if line.endswith(f" {reference}")), "")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
