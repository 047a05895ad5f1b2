"""Every planted bug breaks a rule that holds without it, and leaves nothing behind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Final

import pytest

from homeostat.chaos.planted_bugs import ALL, Planted
from serving import router
from serving.adapters import route_installer
from tests.core import rules_of_challenger, rules_of_log, rules_of_rollout, rules_of_training

RULES: Final[dict[str, Callable[[], bool]]] = {
    **rules_of_log.RULES,
    **rules_of_rollout.RULES,
    **rules_of_training.RULES,
    **rules_of_challenger.RULES,
}


def test_every_bug_has_a_name_of_its_own_and_a_rule_that_it_breaks() -> None:
    """None is planted on trust."""
    names = [bug.name for bug in ALL]
    assert sorted(names) == sorted(RULES)
    assert len({bug.what for bug in ALL}) == len(ALL)


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_a_bug_breaks_its_rule_while_it_is_planted_and_only_then(bug: Planted) -> None:
    """Before, inside, and after."""
    holds = RULES[bug.name]
    assert holds()
    with bug.plant():
        assert not holds()
    assert holds()


@pytest.mark.parametrize("bug", ALL, ids=lambda bug: bug.name)
def test_a_bug_goes_also_when_what_it_caused_ends_in_an_error(bug: Planted) -> None:
    """A simulation that finds it may raise."""
    with pytest.raises(ZeroDivisionError), bug.plant():
        raise ZeroDivisionError
    assert RULES[bug.name]()


def test_a_bug_reaches_every_module_that_knows_the_function_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that imported it, and one that imports it while the bug is planted."""
    (bug,) = [bug for bug in ALL if bug.name == "last_route_wins"]
    sound = router.accepts
    late = ModuleType("late")
    with bug.plant():
        assert vars(route_installer)["accepts"] is router.accepts is not sound
        vars(late)["accepts"] = router.accepts
        monkeypatch.setitem(sys.modules, "late", late)
    assert vars(route_installer)["accepts"] is router.accepts is vars(late)["accepts"] is sound
