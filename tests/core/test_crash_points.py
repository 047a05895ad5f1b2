"""The named crash points: all in the source, all in the list, and a kill that happens once."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import ConfigurationError, load
from streams import crash_points
from streams.adapters.crash_points import crashed
from streams.events import Decided

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("streams", "drift", "trainer", "serving", "config", "homeostat")

PROGRAM = """
import sys
from pathlib import Path
from streams.adapters.crash_points import CrashOnce
crash = CrashOnce(sys.argv[1], Path(sys.argv[2]))
crash.reached("trainer:ordered")
crash.reached("trainer:result_kept")
print("passed")
"""


def places() -> list[str]:
    """What the source says to `.reached(...)`, as written; a name stands for the constant of that name."""
    found = []
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reached":
                argument = node.args[0]
                if isinstance(argument, ast.Constant):
                    found.append(str(argument.value))
                elif isinstance(argument, ast.Name):
                    found += _named(argument.id, path)
                else:
                    assert isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name), ast.dump(argument)
                    found += [getattr(crash_points, argument.func.id)(kind) for kind in crash_points.DECISIVE]
    return found


def _named(name: str, path: Path) -> list[str]:
    """A constant of the list of points, or whatever points the file that loops over them writes out."""
    if hasattr(crash_points, name):
        return [getattr(crash_points, name)]
    return re.findall(r'"([a-z]+:[a-z_]+)"', path.read_text())


def test_every_point_is_in_the_source_once_and_every_place_in_the_list() -> None:
    """A name that no code passes would be swept in vain, one that stands in two places would say too little."""
    found = set(places())
    assert found == set(crash_points.ALL)
    assert len(set(crash_points.ALL)) == len(crash_points.ALL)


def test_every_kind_of_decision_is_either_decisive_or_commentary() -> None:
    """A new kind of decision has to be given its two points, or to be called a comment."""
    assert Decided.__doc__ is not None
    kinds = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)*\b", Decided.__doc__.split("kinds:")[1]))
    decisive, commentary = set(crash_points.DECISIVE), set(crash_points.COMMENTARY)
    assert decisive | commentary == kinds
    assert decisive & commentary == set()


def test_it_kills_at_the_point_that_is_wanted_and_only_once(tmp_path: Path) -> None:
    """The first process dies there by SIGKILL; the one that is started again passes; another point kills it again."""
    marker = tmp_path / "crashed"

    def live(point: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, point, str(marker)],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
        )
        return done.returncode, done.stdout.strip()

    assert live("") == (0, "passed")
    assert live("trainer:result_kept") == (-signal.SIGKILL, "")
    assert live("trainer:result_kept") == (0, "passed")
    assert live("trainer:ordered") == (-signal.SIGKILL, "")
    assert live("trainer:ordered") == (0, "passed")
    assert crashed(marker) == ("trainer:result_kept", "trainer:ordered")


def test_an_unknown_point_is_a_configuration_error_that_lists_the_valid_ones(tmp_path: Path) -> None:
    """A test that waits for a point that does not exist would wait for ever."""
    with pytest.raises(ConfigurationError, match=r"unknown crash_at 'before_commit:Promoted'.*trainer:result_kept"):
        load(str(tmp_path), {"HOMEOSTAT_CRASH_AT": "before_commit:Promoted"})
    assert load(str(tmp_path), {"HOMEOSTAT_CRASH_AT": "mirror:before"}).crash_at == "mirror:before"
