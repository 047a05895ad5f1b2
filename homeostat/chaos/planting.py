"""How a bug is planted: a function of the real code gives way to a mistaken one for a while, wherever it is known by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """One bug. `plant()` has the code make the mistake inside the `with`, and only there."""

    name: str
    what: str
    """What goes wrong, for people."""
    plant: Callable[[], AbstractContextManager[None]]


@contextmanager
def replaced(owner: ModuleType | type, name: str, mistaken: Callable[[Any], Any]) -> Iterator[None]:
    """Inside, `owner.name` is `mistaken(what it was)`: for a module's function also in every module that imported it."""
    sound = vars(owner)[name]
    wrong = mistaken(sound)
    _swap(owner, name, sound, wrong)
    try:
        yield
    finally:
        _swap(owner, name, wrong, sound)


@contextmanager
def all_replaced(*bugs: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """One mistake that was made in several places."""
    with ExitStack() as stack:
        for plant in bugs:
            stack.enter_context(plant())
        yield


def _swap(owner: ModuleType | type, name: str, old: object, new: object) -> None:
    if isinstance(owner, type):
        setattr(owner, name, new)
        return
    # Looked for anew each time: a module that was first imported meanwhile has the mistaken one.
    for module in [module for module in sys.modules.values() if isinstance(module, ModuleType)]:
        for known_as in [known_as for known_as, value in vars(module).items() if value is old]:
            setattr(module, known_as, new)
