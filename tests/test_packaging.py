"""The distribution: its names are its own, its lock is complete and names no host."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = {"streams", "drift", "trainer", "serving", "config", "homeostat"}


def test_no_other_installed_distribution_owns_our_names() -> None:
    """`config` and `trainer` exist on the public index; here they are ours."""
    for package in OURS:
        owners = set(metadata.packages_distributions().get(package, []))
        assert owners <= {"homeostat"}, f"{package} is also owned by {owners}"


def test_every_package_folder_is_packed() -> None:
    """A folder with an __init__.py that pyproject does not list would be missing from the wheel."""
    packed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for package in OURS
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert found == packed


def test_the_lock_is_hashed_and_names_no_host() -> None:
    """Every pinned package has hashes; no index or URL stands in it."""
    lock = (ROOT / "requirements" / "dev.lock").read_text()
    assert "http://" not in lock
    assert "https://" not in lock
    for block in re.split(r"\n(?=[a-z0-9])", lock):
        if re.match(r"^[a-z0-9][\w.-]*==", block):
            assert "--hash=sha256:" in block, block.splitlines()[0]


def test_no_module_is_named_like_a_library() -> None:
    """A file called ray.py would shadow what it wraps."""
    libraries = {"ray", "faust", "kafka", "xgboost", "optuna", "msgspec", "prometheus_client", "typer", "rich", "uvicorn"}
    for package in OURS:
        assert {path.stem for path in (ROOT / package).rglob("*.py")} & libraries == set()
