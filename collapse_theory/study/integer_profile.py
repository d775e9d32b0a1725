"""Least squares by value of an unknown integer: the integer with the least sum of squares, and those that are as good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from sympy import Symbol

from collapse_theory.core.errors import DomainError
from collapse_theory.study.curve_fit import CurveFit, Found

__all__ = ["MOST_ROUNDS", "IntegerProfile"]

MOST_ROUNDS = 100
"""How far above its least value an integer is looked for, unless a range is given."""

_GENERIC = 2  # rounds above the least at which unknowns are told apart
_HOPELESS, _IN_A_ROW = 50.0, 3  # increase of the sum, and how often in a row, at which larger integers are given up


@dataclass(frozen=True, eq=False)
class IntegerProfile:
    """The least-squares problem at every value of an integer.

    Attributes:
        template: The problem.
        integer: The unknown integer; None if there is none, and then there is one problem.
        low: Its least value.
        high: Its largest.
        is_bounded: Whether the largest value is a bound rather than a limit of the search.
        found: The minima that were computed.
    """

    template: CurveFit
    integer: Symbol | None
    low: int
    high: int
    is_bounded: bool
    found: dict[int, Found] = field(default_factory=dict)
    fits: dict[int, CurveFit] = field(default_factory=dict)

    def at(self, n: int) -> CurveFit:
        """Return the problem at an integer."""
        if n not in self.fits:
            self.fits[n] = self.template if self.integer is None else self.template.at({self.integer: n})
        return self.fits[n]

    def chi2(self, n: int) -> float:
        """Return the least sum of squares at an integer."""
        if n not in self.found:
            self.found[n] = self.at(n).best
        return self.found[n].chi2

    @property
    def generic(self) -> CurveFit:
        """The problem at a value that is not the least one, where the rounds have an influence."""
        return self.at(self.generic_value)

    @property
    def generic_value(self) -> int:
        """A value that is not the least one, if there is another."""
        return min(self.low + _GENERIC, self.high)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Return n times the central difference of the predicted errors by n, at the generic value, shape (points,)."""
        n = self.generic_value
        below, above = max(n - 1, self.low), min(n + 1, self.high)
        if below == above:
            return np.zeros(self.template.observed.size)
        rise = self.at(above).errors(x[None])[0] - self.at(below).errors(x[None])[0]
        return np.asarray(n * rise / (above - below))

    # ------------------------------------------------------------------ the best integer
    @property
    def estimate(self) -> int:
        """The integer with the least sum of squares; the smaller of two that are equal."""
        if not self.found:
            self._look()
        return min(self.found, key=lambda n: (self.found[n].chi2, n))

    @property
    def best(self) -> CurveFit:
        """The problem at the best integer."""
        return self.at(self.estimate)

    def _look(self) -> None:
        """Look at integers whose distances grow, then between the neighbours of the best."""
        worse = 0
        for n in self._ladder():
            least = min((f.chi2 for f in self.found.values()), default=np.inf)
            mean = least / self.template.observed.size
            scale = mean if self.template.observed.root is None else max(1.0, mean)
            worse = worse + 1 if self.chi2(n) > least + _HOPELESS * scale else 0
            if worse == _IN_A_ROW:
                break
        while True:
            known = sorted(self.found)
            i = known.index(min(known, key=lambda n: (self.found[n].chi2, n)))
            gaps = [(a, b) for a, b in pairwise(known) if b - a > 1 and known[i] in {a, b}]
            if not gaps:
                break
            for a, b in gaps:
                self.chi2((a + b) // 2)
        if self.integer is not None and known[i] == self.high and not self.is_bounded:
            raise DomainError(
                f"the fit improves up to {self.integer.name} = {self.high}, the largest value looked at; give a range with "
                f"between={{{self.integer.name!r}: ({self.low}, {10 * self.high})}}"
            )

    def _ladder(self) -> Iterator[int]:
        step, n = 1, self.low
        while n < self.high:
            yield n
            step = max(1, (n - self.low + 1) // 2)
            n += step
        yield self.high

    # ------------------------------------------------------------------ intervals
    def intervals(self, threshold: float) -> dict[str, tuple[float, float]]:
        """Return the ranges of all unknowns in which the best fit has a sum of squares of at most a threshold."""
        low = self._last(-1, threshold)
        high = self._last(1, threshold)
        fits = [self.at(n) for n in range(low, high + 1) if self.chi2(n) <= threshold]
        out: dict[str, tuple[float, float]] = {}
        for k, unknown in enumerate(self.template.unknowns):
            ends = [fit.interval(k, threshold) for fit in fits]
            out[unknown.name] = (min(a for a, _ in ends), max(b for _, b in ends))
        if self.integer is not None:
            endless = high == self.high and not self.is_bounded
            out[self.integer.name] = (low, np.inf if endless else high)
        return out

    def _last(self, side: int, threshold: float) -> int:
        """Return the last integer on one side of the best whose sum of squares is at most the threshold."""
        inside, end = self.estimate, self.low if side < 0 else self.high
        step = 1
        while inside != end:
            outside = max(inside - step, end) if side < 0 else min(inside + step, end)
            if self.chi2(outside) > threshold:
                break
            inside, step = outside, 2 * step
        else:
            return inside
        while abs(outside - inside) > 1:
            middle = (outside + inside) // 2
            inside, outside = (middle, outside) if self.chi2(middle) <= threshold else (inside, middle)
        return inside
