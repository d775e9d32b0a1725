r"""All zeros of curves :math:`f(x)` on an interval, from their exact derivatives; many curves at once.

Between two neighbouring stationary points a curve is monotone and crosses zero at most once. So the stationary points, found by
:mod:`.minimise` of :math:`f` and of :math:`-f`, the ends and the signs of :math:`f` there tell how many crossings there are, and
each is found in a bracket of its own. Where the curve is zero by construction, or is lost in the round-off of its two terms, it is
zero: a monotone piece that begins there has no further crossing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from collapse_theory.numerics.minimise import Curves, Interval, minimise
from collapse_theory.numerics.newton import find_root

__all__ = ["Crossings", "crossings"]

_NEAR, _FAR = 1e-12, 1e12  # of the unit: where an end that is not attained is looked at
_LOST = 1e-11  # of the terms of the curve: its round-off, and what an asymptote leaves
_SPACING, _SETTLED = 1e-14, 1e-8  # where the iteration stops, and what is accepted if round-off stops it before


@dataclass(frozen=True)
class Crossings:
    """The zeros of one curve.

    Attributes:
        zeros: Where it changes its sign, ascending.
        below: The intervals in which it is negative, ascending.
        flat: Whether it does not depend on its argument.
    """

    zeros: tuple[float, ...]
    below: tuple[tuple[float, float], ...]
    flat: bool


@dataclass(frozen=True)
class _Piece:
    """A monotone piece of a curve and the signs at its ends."""

    curve: int
    low: float
    high: float
    signs: tuple[int, int]


def crossings(
    curves: Curves, interval: Interval, size: Callable[[np.ndarray, np.ndarray], np.ndarray], known: np.ndarray
) -> tuple[Crossings, ...]:
    """Return the zeros of each curve.

    Args:
        curves: The curves and their derivatives.
        interval: The range of the argument.
        size: The size of the terms of a curve, of the arguments of ``curves.error``.
        known: Where a curve is zero by construction; NaN where it is not.

    Raises:
        ConvergenceError: If a stationary point or a zero is not found.
    """
    least = minimise(curves, interval)
    greatest = minimise(_negated(curves), interval)
    pieces = _pieces(curves, interval, size, known, (least.of, greatest.of))
    crossed = [p for p in pieces if p.signs[0] * p.signs[1] < 0]
    roots = dict(zip(crossed, _roots(curves, interval, crossed), strict=True)) if crossed else {}
    out = []
    for i in range(curves.size):
        own = [p for p in pieces if p.curve == i]
        zeros = tuple(roots[p] for p in own if p in roots)
        out.append(Crossings(zeros, _below(own, roots, interval, i), bool(least.flat[i])))
    return tuple(out)


def _negated(curves: Curves) -> Curves:
    return Curves(
        lambda x, index: -curves.error(x, index),
        lambda x, index, *, rough: -curves.slope(x, index, rough=rough),
        curves.size,
    )


def _pieces(
    curves: Curves,
    interval: Interval,
    size: Callable[[np.ndarray, np.ndarray], np.ndarray],
    known: np.ndarray,
    stationary: tuple[Callable[[int], tuple[float, ...]], ...],
) -> list[_Piece]:
    """Return the monotone pieces of all curves."""
    everywhere = np.arange(curves.size)
    first = np.where(interval.low_closed, interval.low, interval.place(np.full(curves.size, _NEAR), everywhere))
    last = np.where(interval.high_closed, interval.high, interval.place(np.full(curves.size, _FAR), everywhere))
    breaks = []
    for i in everywhere:
        inner = {x for of in stationary for x in of(int(i))} | ({float(known[i])} if np.isfinite(known[i]) else set())
        breaks.append(np.array([first[i], *sorted(x for x in inner if first[i] < x < last[i]), last[i]]))
    x = np.concatenate(breaks)
    index = np.repeat(everywhere, [len(b) for b in breaks])
    value = curves.error(x, index)
    value[(np.abs(value) <= _LOST * size(x, index)) | (x == known[index])] = 0.0
    signs = np.sign(value).astype(int)
    return [
        _Piece(int(index[j]), float(x[j]), float(x[j + 1]), (int(signs[j]), int(signs[j + 1])))
        for j in range(len(x) - 1)
        if index[j] == index[j + 1]
    ]


def _below(
    pieces: list[_Piece], roots: dict[_Piece, float], interval: Interval, i: int
) -> tuple[tuple[float, float], ...]:
    """Return where a curve is negative, from end to end."""
    found: list[tuple[float, float]] = []
    for p in pieces:
        low, high = p.low, p.high
        if p in roots:
            low, high = (low, roots[p]) if p.signs[0] < 0 else (roots[p], high)
        elif min(p.signs) >= 0:
            continue
        if found and found[-1][1] == low:
            low = found.pop()[0]
        found.append((low, high))
    ends = (pieces[0].low, float(interval.low[i])), (pieces[-1].high, float(interval.high[i]))
    return tuple(
        (ends[0][1] if low == ends[0][0] else low, ends[1][1] if high == ends[1][0] else high) for low, high in found
    )


@dataclass(frozen=True)
class _Zero:
    """The equations ``f(x(u)) = 0`` on monotone pieces, rising; see :class:`.newton.Equation`."""

    curves: Curves
    interval: Interval
    index: np.ndarray
    rising: np.ndarray
    floor: np.ndarray
    start: np.ndarray

    @property
    def bracket(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower end, and where the iteration begins."""
        return self.floor, self.start

    def local(self, u: np.ndarray, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the curve and its slope in ``u``."""
        x, high = self.interval.place(u, self.index), self.interval.high[self.index]
        bounded = np.isfinite(high)
        speed = np.where(
            bounded,
            np.where(bounded, high - self.interval.low[self.index], 0.0) / (1 + u) ** 2,
            self.interval.unit[self.index],
        )
        slope = self.rising * self.curves.slope(x, self.index, rough=rough) * speed
        return self.rising * self.curves.error(x, self.index), np.where(slope > 0, slope, np.finfo(float).tiny)

    def among(self, places: np.ndarray) -> _Zero:
        """Return some of the equations."""
        return replace(
            self,
            index=self.index[places],
            rising=self.rising[places],
            floor=self.floor[places],
            start=self.start[places],
        )


def _roots(curves: Curves, interval: Interval, pieces: list[_Piece]) -> list[float]:
    index = np.array([p.curve for p in pieces])
    low, high = (_coordinate(interval, np.array(x), index) for x in ([p.low for p in pieces], [p.high for p in pieces]))
    start = np.where(
        np.isfinite(high), (np.where(low > 0, low, high / 4) * np.where(high < np.inf, high, 1)) ** 0.5, 4 * low
    )
    rising = np.array([p.signs[1] for p in pieces])
    with np.errstate(over="ignore", invalid="ignore"):
        found = find_root(
            _Zero(curves, interval, index, rising, low, np.where(start > 0, start, 1.0)), _SPACING, ceiling=high
        )
    u = found.value if found.largest <= _SETTLED else found.checked("a crossing", "report these values")
    return [float(x) for x in interval.place(u, index)]


def _coordinate(interval: Interval, x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return the coordinate ``u`` of points, see :meth:`.Interval.place`; infinite at an upper end."""
    low, high = interval.low[index], interval.high[index]
    bounded = np.isfinite(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            np.where(bounded, (x - low) / np.where(bounded, high - x, 1.0), (x - low) / interval.unit[index])
        )
