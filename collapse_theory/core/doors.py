"""The doors: the few methods of lower rooms whose work is done in an upper room.

A formula is derived far below the rooms that evaluate, print and draw it, yet users write ``err.evaluate(...)``. Such a method
steps *through* a door, by the name of its class and its own. Where each door leads is said once, by address, when the package is
first imported; the room behind it is imported when somebody steps through. All other arrows between rooms point down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any

__all__ = ["DOORS", "open_doors", "through"]

DOORS: dict[str, str] = {}
"""Where each door leads: ``"Class.method"`` to ``"module:function"``, whose first argument is the object."""


def open_doors(ways: Mapping[str, str]) -> None:
    """Say where doors lead."""
    DOORS.update(ways)


def through(door: str) -> Callable[..., Any]:
    """Return the function behind a door.

    >>> through("Pipeline.draw").__name__
    'draw_pipeline'
    """
    function: Callable[..., Any] = resolve_name(DOORS[door])
    return function
