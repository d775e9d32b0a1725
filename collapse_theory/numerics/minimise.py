r"""The global minimum of curves :math:`E(x)` on an interval, from their exact derivatives; many curves at once.

**The range.** An interval is mapped onto :math:`0<u<\infty`: :math:`x=a+u` if it is unbounded, :math:`x=a+(b-a)u/(1+u)` if not. On
a grid of two points a decade, :math:`10^{-8}\le u/\text{unit}\le10^4`, every change of sign of :math:`E'` is a stationary point. A
test error is analytic in :math:`\log u` with features about one unit wide, so that what the grid could miss is a pair of close
sign changes: where :math:`|uE'|` has a local minimum on the grid the two intervals beside it are divided in eight, and again.
Outside the grid one change of sign more is found at either end, by the derivative at the end itself (or very near one that is not
attained).

**The root.** Each change from - to + is a local minimum. Newton's iteration of :mod:`.newton` finds it, between the two points,
to a relative residual of :math:`10^{-8}`; the difference quotient that steers it decides how fast, not where it ends. Where the
second derivative vanishes as well, the root is one of order three, of which round-off leaves a third of the digits: there a root
is taken if, as far as its residual leaves it open, the error is the same to round-off.

**The minimum.** The error at all local minima and at both ends is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from collapse_theory.numerics.newton import accepted, find_root
from collapse_theory.numerics.solution import Solution

__all__ = ["Curves", "Interval", "Minima", "minimise"]

_DECADES = (-8, 4)
_PER_DECADE = 2
_DIVISION, _REFINEMENTS = 8, 2
_NEAR, _FAR = 1e-30, 1e20  # of the unit: where an end that is not attained is looked at
_SETTLED, _ROUGH = 1e-8, 1e-3
_QUOTIENT = 2.0**-24
_OPEN, _SAME = (
    4.0,
    4 * float(np.finfo(float).eps),
)  # residuals around a root of order three, and the errors that are one there
_DOUBTFUL, _VANISHING = 1e-6, 1e-13  # of the derivative where the grid ends


@dataclass(frozen=True)
class Interval:
    """The range of an argument, one per curve.

    Attributes:
        low: Lower ends, shape (n,).
        high: Upper ends, shape (n,), possibly infinite.
        low_closed: Whether the lower ends belong to it.
        high_closed: Whether the upper ends do; an infinite one does not.
        unit: The scales on which an unbounded range is searched.
    """

    low: np.ndarray
    high: np.ndarray
    low_closed: np.ndarray
    high_closed: np.ndarray
    unit: np.ndarray

    def place(self, u: np.ndarray, index: np.ndarray) -> np.ndarray:
        """Return ``x`` at coordinates ``u`` of the curves at ``index``."""
        low, high = self.low[index], self.high[index]
        bounded = np.isfinite(high)
        width = np.where(bounded, high - low, 1.0)
        return np.where(bounded, low + width * (u / (1 + u)), low + self.unit[index] * u)


@dataclass(frozen=True)
class Curves:
    """Many curves as data.

    Attributes:
        error: ``error(x, index)``, the values at points ``x`` of the curves at ``index``.
        slope: ``slope(x, index, rough=...)``, their derivatives; ``rough`` may lose digits to round-off.
        size: The number of curves.
    """

    error: Callable[[np.ndarray, np.ndarray], np.ndarray]
    slope: Callable[..., np.ndarray]
    size: int


@dataclass(frozen=True)
class Minima:
    """The minima of many curves.

    Attributes:
        value: Where each is least, shape (n,); an end if no local minimum is lower.
        error: The least error.
        end: -1 at the lower end, 1 at the upper one, 0 between them.
        attained: Whether the end belongs to the interval.
        flat: Whether the derivative vanishes wherever it was looked at.
        curve: The curve of each local minimum found, ascending.
        local: Where these are.
    """

    value: np.ndarray
    error: np.ndarray
    end: np.ndarray
    attained: np.ndarray
    flat: np.ndarray
    curve: np.ndarray
    local: np.ndarray

    def of(self, i: int) -> tuple[float, ...]:
        """Return the local minima of one curve, ascending."""
        return tuple(sorted(float(x) for x in self.local[self.curve == i]))


def minimise(curves: Curves, interval: Interval, settled: float | None = _SETTLED) -> Minima:
    """Return the global minimum of each curve, and the local ones.

    Args:
        curves: The curves and their derivatives.
        interval: The range of the argument.
        settled: The largest relative residual of a stationary point; None takes it roughly, to about a thousandth.

    Raises:
        ConvergenceError: If one is not found to it.
    """
    everywhere = np.arange(curves.size)
    low, high = 10.0 ** np.array(_DECADES)
    u = np.geomspace(low, high, (_DECADES[1] - _DECADES[0]) * _PER_DECADE + 1)
    slopes = _slopes(curves, interval, np.tile(u[:, None], curves.size), everywhere)
    flat = (slopes == 0).all(axis=0)
    brackets = _Brackets()
    _scan(curves, interval, everywhere, np.tile(u[:, None], curves.size), slopes, brackets, _REFINEMENTS)
    candidates = [
        _end(curves, interval, low, slopes[0], brackets, -1),
        _end(curves, interval, high, slopes[-1], brackets, 1),
    ]
    curve, floor, ceiling, start = brackets.joined()
    local = interval.place(_Stationary(curves, interval, curve, floor, ceiling, start).roots(settled), curve)
    candidates.append((local, curve, np.zeros(curve.size, dtype=int)))
    x, index, end = (np.concatenate(parts) for parts in zip(*candidates, strict=True))
    error = curves.error(x, index) if index.size else np.empty(0)
    order = np.lexsort((np.abs(end), error, index))  # of equal errors the local minimum
    first = order[np.unique(index[order], return_index=True)[1]]
    value, least, side = np.full(curves.size, np.nan), np.full(curves.size, np.nan), np.zeros(curves.size, dtype=int)
    value[index[first]], least[index[first]], side[index[first]] = x[first], error[first], end[first]
    closed = np.where(side < 0, interval.low_closed, interval.high_closed)
    by_curve = np.argsort(curve, kind="stable")
    return Minima(value, least, side, closed | (side == 0), flat, curve[by_curve], local[by_curve])


def _slopes(curves: Curves, interval: Interval, u: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return derivatives at a grid of shape (grid, curves), one curve a column."""
    columns = np.tile(index, len(u))
    x = interval.place(u.ravel(), columns)
    return curves.slope(x, columns, rough=True).reshape(u.shape)


class _Brackets:
    """Intervals of ``u`` around minima, as they are found, and where to begin in each."""

    def __init__(self) -> None:
        self.parts: list[tuple[np.ndarray, ...]] = []

    def add(self, curve: np.ndarray, low: Any, high: Any, start: Any) -> None:
        """Keep brackets, one a curve."""
        self.parts.append((curve, *(np.broadcast_to(a, curve.shape) for a in (low, high, start))))

    def joined(self) -> tuple[np.ndarray, ...]:
        """Return curves, lower and upper ends, and starts."""
        nothing = np.empty(0, dtype=int), *(np.empty(0) for _ in range(3))
        return tuple(np.concatenate(parts) for parts in zip(nothing, *self.parts, strict=True))


def _scan(
    curves: Curves,
    interval: Interval,
    index: np.ndarray,
    u: np.ndarray,
    slopes: np.ndarray,
    found: _Brackets,
    more: int,
) -> None:
    """Find the brackets on a grid of shape (grid, curves); divide the intervals where a pair may hide."""
    minimum = (slopes[:-1] < 0) & (slopes[1:] >= 0)
    size = np.abs(u * slopes)
    dip = (size[1:-1] < size[:-2]) & (size[1:-1] < size[2:])
    divided = np.zeros(minimum.shape, dtype=bool)
    if more:
        same = np.sign(slopes[:-1]) == np.sign(slopes[1:])
        divided[:-1] |= dip
        divided[1:] |= dip
        divided &= same
    row, column = np.nonzero(minimum)
    below, above = size[row, column], size[row + 1, column]
    share = below / (below + above)  # where a straight line in log u crosses
    left, right = u[row, column], u[row + 1, column]
    found.add(index[column], left, right, left ** (1 - share) * right**share)
    row, column = np.nonzero(divided)
    if row.size:
        share = np.linspace(0, 1, _DIVISION + 1)[:, None]
        finer = u[row, column] ** (1 - share) * u[row + 1, column] ** share
        inner = _slopes(curves, interval, finer[1:-1], index[column])
        ends = slopes[row, column][None], slopes[row + 1, column][None]
        _scan(curves, interval, index[column], finer, np.concatenate([ends[0], inner, ends[1]]), found, more - 1)


def _end(
    curves: Curves, interval: Interval, last: float, slopes: np.ndarray, found: _Brackets, side: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Say where the error falls to an end; where it rises again before it, keep the bracket of the minimum between.

    Args:
        curves: The curves.
        interval: The range.
        last: Where the grid ends.
        slopes: The derivatives there.
        found: The brackets.
        side: -1 for the lower end, 1 for the upper one.
    """
    index = np.flatnonzero(side * slopes <= 0)
    near = np.full(index.size, _NEAR if side < 0 else _FAR)
    ends = (interval.low if side < 0 else interval.high)[index]
    closed = (interval.low_closed if side < 0 else interval.high_closed)[index]
    x = np.where(closed, ends, interval.place(near, index))
    slope = curves.slope(x, index, rough=True) if index.size else np.empty(0)
    # A derivative that vanishes at the end, as without noise or far away, would have the sign of its round-off.
    small = np.abs(slope) <= _DOUBTFUL * np.abs(slopes[index])
    doubtful = np.flatnonzero(small & (closed | (side * slope > 0)))
    if doubtful.size:
        slope[doubtful] = curves.slope(x[doubtful], index[doubtful], rough=False)
    turned = side * slope > np.where(closed, _VANISHING * np.abs(slopes[index]), 0)
    low, high = (near[turned], last) if side < 0 else (last, near[turned])
    found.add(index[turned], low, high, high)
    kept = ~turned
    return x[kept], index[kept], np.full(int(kept.sum()), side)


@dataclass(frozen=True)
class _Stationary:
    """The equations ``E'(x(u)) = 0`` between two points of opposite sign; see :class:`.newton.Equation`."""

    curves: Curves
    interval: Interval
    index: np.ndarray
    floor: np.ndarray
    ceiling: np.ndarray
    start: np.ndarray
    careful: bool = False

    @property
    def bracket(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower end, and where the iteration begins."""
        return self.floor, self.start

    def local(self, u: np.ndarray, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the derivative, and its difference quotient."""
        both = np.concatenate([u, u * (1 - _QUOTIENT)])
        index = np.tile(self.index, 2)
        slope = self.curves.slope(self.interval.place(both, index), index, rough=rough and not self.careful)
        here, before = slope[: u.size], slope[u.size :]
        with np.errstate(invalid="ignore", over="ignore"):
            quotient = (here - before) / (u * _QUOTIENT)
        # Where the derivative rises to no root the iteration halves its interval.
        return here, np.where(quotient > 0, quotient, np.finfo(float).tiny)

    def among(self, places: np.ndarray) -> _Stationary:
        """Return some of the equations."""
        return replace(
            self,
            index=self.index[places],
            floor=self.floor[places],
            ceiling=self.ceiling[places],
            start=self.start[places],
        )

    def roots(self, settled: float | None) -> np.ndarray:
        """Return the stationary points in ``u``; those that round-off keeps from settling are found without it.

        Raises:
            ConvergenceError: If one is not accepted.
        """
        spacing = (settled or _ROUGH) ** (4 / 3)  # Newton's rule of acceptance makes it ``settled``
        with np.errstate(over="ignore", invalid="ignore"):
            found = find_root(self, spacing, ceiling=self.ceiling, rough=settled is None)
            roots = np.array(found.value)
            loose = np.flatnonzero(~(np.asarray(found.residual) <= accepted(spacing)))
            if loose.size and settled is not None:
                careful = replace(self.among(loose), careful=True)
                found = find_root(careful, spacing, ceiling=careful.ceiling)
                good = (np.asarray(found.residual) <= accepted(spacing)) | careful._is_level(found)
                roots[loose] = found.value if good.all() else found.checked("a stationary point", "report these values")
        return roots

    def _is_level(self, found: Solution) -> np.ndarray:
        """Return whether the error is the same, to round-off, as far as the residuals leave the roots open."""
        apart = np.minimum(_OPEN * np.asarray(found.residual), _ROUGH)
        here, left, right = (
            self.curves.error(self.interval.place(found.value * (1 + sign * apart), self.index), self.index)
            for sign in (0, -1, 1)
        )
        return np.asarray(np.maximum(abs(left - here), abs(right - here)) <= _SAME * abs(here))
