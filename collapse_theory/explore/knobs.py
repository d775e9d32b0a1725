"""A slider for a symbol: its range, and the points at which it rests."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sympy import Symbol, false
from sympy.logic.boolalg import Boolean

from collapse_theory.present.latex import to_latex

__all__ = ["MOST_ROUNDS", "Knob", "count_knob", "knob_of"]


MOST_ROUNDS = 40
"""That a description may ask for: each is a fit to derive, to draw and to run."""


@dataclass(frozen=True)
class Knob:
    """What can be moved.

    Attributes:
        name: Of the symbol or the argument.
        latex: How it is printed.
        low: Lower end.
        high: Upper end.
        scale: How the stops are spaced.
        whole: Whether it is an integer.
        start: Where it stands at first.
        words: What it is.
    """

    name: str
    latex: str
    low: float
    high: float
    scale: Literal["linear", "log"]
    whole: bool
    start: float
    words: str = ""

    def points(self, count: int) -> list[int | float]:
        """Return about ``count`` points from end to end, integers where it is one, the others to three digits.

        >>> count_knob("generations", 0, 3).points(4)
        [0, 4, 8, 12]
        """
        space = np.geomspace if self.scale == "log" else np.linspace
        rounded = {float(f"{x:.3g}") for x in space(self.low, self.high, count)}
        return sorted({round(x) for x in rounded} if self.whole else rounded)

    def data(self) -> dict[str, Any]:
        """Return what a page needs."""
        return {
            "name": self.name, "latex": self.latex, "low": self.low, "high": self.high, "whole": self.whole, "start": self.start,
            "words": self.words, "scale": self.scale, "stops": self.points(_STOPS if self.scale == "log" else _STEPS + 1),
        }  # fmt: skip


_STOPS, _STEPS = 97, 60
_ROUNDS = 12  # of pooled samples: the time of their theory grows like the fourth power

# By the stem of a name: T_real, T0 and T are rows. What a stem lacks is in the assumptions of the symbol.
_ROWS = (10, 1e5, "log", True)
_RANGES: dict[str, tuple[Any, ...]] = {
    "T": (*_ROWS, 600, "rows"),
    "T0": (*_ROWS, 900, "rows of a generator"),
    "N": (*_ROWS, 1000, "rows in all"),
    "sigma": (0, 3, "linear", False, 0.5, "label noise"),
    "sigma0": (0, 3, "linear", False, 0.5, "label noise of a generator"),
    "lam": (1e-5, 10, "log", False, 0.01, "ridge"),
    "lam0": (1e-5, 10, "log", False, 0.01, "ridge of a generator"),
    "n": (0, _ROUNDS, "linear", True, 3, "generations"),
    "m": (1, 1e4, "log", True, 300, "features"),
    "m0": (1, 1e4, "log", True, 30, "features of the teacher"),
    "K": (1, 50, "linear", True, 5, "models"),
    "k": (0.1, 10, "log", False, 1, "ratio of precisions"),
    "t": (1e-2, 1e4, "log", False, 10, "training time"),
    "w": (0, 1, "linear", False, 0.5, "share of real labels"),
    "xi": (-2, 2, "linear", False, 0.5, "share of the fit's own labels"),
    "rho2": (0, 4, "linear", False, 1, "size of the target"),
}


def knob_of(symbol: Symbol, start: float | None = None, conditions: Iterable[Boolean] = ()) -> Knob:
    """Return the slider of a symbol: by its name where the notation says what it is, else by its assumptions.

    Args:
        symbol: The symbol.
        start: Where it stands at first; None where it usually does.
        conditions: Those of the formula; what they say of this symbol alone bounds the slider from below.

    >>> from collapse_theory.symbols import T, declared
    >>> knob_of(T).start, knob_of(declared("alpha")).low
    (600, -2)
    """
    stem = symbol.name.partition("_")[0]
    found = _RANGES.get(stem) or _RANGES.get(re.sub(r"\d+$", "", stem))
    if found is None:
        found = (
            (0.01, 100, "log", False, 1, "")
            if symbol.is_positive
            else (0 if symbol.is_nonnegative else -2, 2, "linear", False, 1, "")
        )
        found = (*found[:3], bool(symbol.is_integer), *found[4:])
    low, high, scale, whole, usual, words = found
    at = usual if start is None else start
    if stem != "w" and not words.startswith("share"):  # a file's own number is inside, whatever is usual
        low, high = min(low, at), max(high, at)
    own = [c for c in conditions if c.free_symbols == {symbol}]
    while low < at and any(c.subs(symbol, low) == false for c in own):
        low += 1 if whole else (high - low) / 100
    return Knob(symbol.name, to_latex(symbol), low, high, scale, whole, at, words)


def count_knob(name: str, low: int, start: int) -> Knob:
    """Return the slider of an argument that counts rounds: the pipeline is another one at each stop."""
    latex = rf"\text{{{name.replace('_', ' ')}}}"
    return Knob(name, latex, low, max(_ROUNDS, start), "linear", whole=True, start=start)
