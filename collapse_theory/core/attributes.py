"""What every object of the public face does with a name it lacks, and in a notebook."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from collapse_theory.core.doors import through

__all__ = ["Displayed", "NearNames", "unknown_attribute"]


def unknown_attribute(owner: str, name: str, valid: list[str]) -> str:
    """Return the message for a name that an object does not have, with the nearest one it has.

    >>> unknown_attribute("Theorem", "eror", ["error", "latex"])
    "Theorem has no attribute 'eror'; did you mean 'error'?"
    >>> unknown_attribute("Theorem", "shape", ["error", "latex"])
    "Theorem has no attribute 'shape'"
    """
    close = difflib.get_close_matches(name, [x for x in valid if not x.startswith("_")], n=1)
    return f"{owner} has no attribute {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


class NearNames:
    """A class whose misspelt attributes are answered with the nearest one."""

    if not TYPE_CHECKING:  # a type checker knows the attributes, and refuses others

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # it is there and failed by an AttributeError of its own: raise that one
                return object.__getattribute__(self, name)
            known = [] if name.startswith("_") else dir(self)  # protocols ask for underscored names, often and in vain
            raise AttributeError(unknown_attribute(type(self).__name__, name, known), name=name, obj=self)


class Displayed(NearNames):
    """A class whose objects show themselves in a notebook, as HTML that :mod:`collapse_theory.present.notebook` writes."""

    def _repr_html_(self) -> str:
        shown: str = through("Displayed.html")(self)
        return shown
