r"""A minimum in several arguments at once, for many points.

**Sweep.** The arguments are minimised in turn, each globally on its interval (:mod:`.minimise`). The error falls in every turn, and
slowly where the arguments depend on each other.

**Newton.** So after every sweep Newton's iteration on the exact gradient goes on. Its Hessian is a difference quotient of the
gradient, with negative curvatures turned around; a step is at most the width of the range, or the distance from its only end, and
is shortened until the error does not rise. An argument that comes to an end of its range stays there until the next sweep.

**Acceptance.** A point settles when a step of the careful gradient is at most :math:`10^{-9}`, its Hessian is positive definite,
and one more sweep does not lower the error: no argument alone improves it. Of three starts the lowest result counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.minimise import Curves, Interval, minimise

__all__ = ["JointMinimum", "Landscape", "minimise_jointly"]

_STARTS = (1e-3, 1.0, 1e3)
_SWEEPS = 40
_NEWTON = 30
_SHORTENINGS = 8
_SHORT = 1e-7  # of a step whose square is round-off, after which one more is taken, carefully
_SETTLED = 1e-9
_QUOTIENT = 2.0**-20
_LOWER = 1e-12  # of the error: what a sweep gains by round-off
_SAME = 1e-6
_EDGE = 1e8  # of the unit: where an argument waits whose error keeps falling, while the others move


class Landscape(Protocol):
    """Errors in several arguments, at many points; ``x`` has shape (arguments, points)."""

    @property
    def size(self) -> int:
        """The number of points."""

    @property
    def count(self) -> int:
        """The number of arguments."""

    def along(self, k: int, x: np.ndarray) -> tuple[Curves, Interval]:
        """Return the curves of one argument, the others held at ``x``, and its range."""

    def interval(self, k: int, x: np.ndarray) -> Interval:
        """Return the range of one argument, the others held at ``x``."""

    def error_at(self, x: np.ndarray) -> np.ndarray:
        """Return the errors."""

    def gradient(self, x: np.ndarray, *, rough: bool) -> np.ndarray:
        """Return the gradients, shape (arguments, points); ``rough`` may lose digits to round-off."""


@dataclass(frozen=True)
class JointMinimum:
    """The minima of many landscapes.

    Attributes:
        value: Shape (arguments, points).
        error: Shape (points,).
        end: -1, 0, 1: at the lower end, between, at the upper end; shape (arguments, points).
        attained: Whether the end belongs to the range.
        flat: Whether the error does not depend on the argument.
    """

    value: np.ndarray
    error: np.ndarray
    end: np.ndarray
    attained: np.ndarray
    flat: np.ndarray


def minimise_jointly(landscape: Landscape) -> JointMinimum:
    """Return the lowest minimum found.

    Raises:
        ConvergenceError: If no start settles.
    """
    best: JointMinimum | None = None
    for start in _STARTS:
        try:
            found = _settled(landscape, _start(landscape, start), best)
        except ConvergenceError:
            if best is None and start == _STARTS[-1]:
                raise
            continue
        best = found if best is None else _chosen(found.error < best.error, found, best)
    assert best is not None
    return best


def _chosen(here: np.ndarray, a: JointMinimum, b: JointMinimum) -> JointMinimum:
    """Return one result at some points, another elsewhere."""
    return JointMinimum(*(np.where(here, x, y) for x, y in zip(_fields(a), _fields(b), strict=True)))


def _fields(m: JointMinimum) -> tuple[np.ndarray, ...]:
    return m.value, m.error, m.end, m.attained, m.flat


def _start(landscape: Landscape, u: float) -> np.ndarray:
    everywhere = np.arange(landscape.size)
    x = np.ones((landscape.count, landscape.size))
    for k in range(landscape.count):
        _, interval = landscape.along(k, x)
        x[k] = interval.place(np.full(landscape.size, u), everywhere)
    return x


def _settled(landscape: Landscape, x: np.ndarray, known: JointMinimum | None) -> JointMinimum:
    """Return the minimum that a start leads to, unless it leads to the known one."""
    settled: JointMinimum | None = None
    good = np.zeros(landscape.size, dtype=bool)
    for _ in range(_SWEEPS):
        found = _sweep(landscape, x)
        if settled is not None:
            done = good & (found.error >= settled.error * (1 - _LOWER))
            if done.all():
                return settled
            found = _chosen(done, settled, found)
        settled, good = _newton(landscape, found)
        x = settled.value
        if known is not None and good.all() and (np.abs(x - known.value) <= _SAME * np.abs(known.value)).all():
            return known
    raise ConvergenceError(
        f"a minimum in {landscape.count} arguments did not settle at {int((~done).sum())} of {landscape.size} points; "
        "optimise fewer arguments at once, or narrow their ranges with between="
    )


def _sweep(landscape: Landscape, x: np.ndarray) -> JointMinimum:
    """Minimise the arguments in turn, once."""
    everywhere, x = np.arange(landscape.size), x.copy()
    end, attained, flat = np.zeros(x.shape, dtype=int), np.ones(x.shape, dtype=bool), np.zeros(x.shape, dtype=bool)
    for k in range(landscape.count):
        curves, interval = landscape.along(k, x)
        found = minimise(curves, interval, None)
        end[k], attained[k], flat[k] = found.end, found.attained, found.flat
        edge = interval.place(np.where(end[k] > 0, _EDGE, 1 / _EDGE), everywhere)
        x[k] = np.where(flat[k], x[k], np.where(attained[k], found.value, edge))
    return JointMinimum(x, landscape.error_at(x), end, attained, flat)


def _newton(landscape: Landscape, found: JointMinimum) -> tuple[JointMinimum, np.ndarray]:
    """Return the stationary points that the iteration leads to, never higher, and whether each is accepted."""
    x, error, end = found.value, found.error, found.end
    held = (end != 0) | found.flat
    for _ in range(_NEWTON):
        slope, scale = landscape.gradient(x, rough=True), _scale(landscape, x)
        curvature, turn = np.linalg.eigh(_hessian(landscape, x, slope, scale, held))
        step = _step(curvature, turn, np.where(held, 0.0, slope * scale))
        x, error, hit = _descended(landscape, x, error, scale * step)
        ready = (np.abs(step) <= _SHORT).all(axis=0)
        end, arrived = np.where(held, end, hit), (hit != 0) & ~held
        held = held | arrived
        if (ready & ~arrived.any(axis=0)).all():
            break
    slope, scale = landscape.gradient(x, rough=False), _scale(landscape, x)
    last = _step(curvature, turn, np.where(held, 0.0, slope * scale))
    good = ready & (curvature > 0).all(axis=1) & (np.abs(last) <= _SETTLED).all(axis=0)
    return JointMinimum(x, error, end, found.attained, found.flat), good


def _scale(landscape: Landscape, x: np.ndarray) -> np.ndarray:
    """Return the unit of a step in each argument: the width of its interval, or its distance from the only end."""
    out = np.empty(x.shape)
    for k in range(landscape.count):
        interval = landscape.interval(k, x)
        out[k] = np.where(np.isfinite(interval.high), interval.high, x[k]) - interval.low
    return np.where(out > 0, out, 1.0)


def _hessian(landscape: Landscape, x: np.ndarray, slope: np.ndarray, scale: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the Hessians in these units, shape (points, arguments, arguments); those of held arguments are ones."""
    out = np.zeros((landscape.size, landscape.count, landscape.count))
    for k in range(landscape.count):
        if held[k].all():
            continue
        moved = x.copy()
        distance = x[k] - landscape.interval(k, x).low
        by = _QUOTIENT * np.where(held[k] | (distance <= 0), 1.0, distance)
        moved[k] = np.where(held[k], x[k], x[k] - by)
        out[:, :, k] = ((slope - landscape.gradient(moved, rough=True)) * scale * scale[k] / by).T
    free = ~held.T
    return np.where(free[:, :, None] & free[:, None, :], (out + np.swapaxes(out, 1, 2)) / 2, np.eye(landscape.count))


def _step(curvature: np.ndarray, turn: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return Newton's step of at most one, shape (arguments, points), downhill along negative curvatures too."""
    along = np.einsum("pij,ip->pj", turn, slope) / np.maximum(np.abs(curvature), np.finfo(float).tiny)
    step = -np.einsum("pij,pj->ip", turn, along)
    return np.asarray(step / np.maximum(np.abs(step).max(axis=0), 1.0))


def _descended(
    landscape: Landscape, x: np.ndarray, error: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return points a step on, their errors, and the ends they hit; the step is shortened where the error rises."""
    share = np.ones(landscape.size)
    for _ in range(_SHORTENINGS):
        further, hit = _within(landscape, x, x + share * step)
        there = landscape.error_at(further)
        lower = there <= error * (1 + _LOWER)
        if lower.all():
            break
        share = np.where(lower, share, share / 4)
    return np.where(lower, further, x), np.where(lower, there, error), np.where(lower, hit, 0)


def _within(landscape: Landscape, x: np.ndarray, further: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points in their ranges, half way to an end that is not attained at most, and the ends they hit."""
    out, hit = further.copy(), np.zeros(x.shape, dtype=int)
    for k in range(landscape.count):
        interval = landscape.interval(k, out)
        low = np.where(interval.low_closed, interval.low, (interval.low + x[k]) / 2)
        high = np.where(np.isfinite(interval.high) & ~interval.high_closed, (interval.high + x[k]) / 2, interval.high)
        beyond = (out[k] >= high).astype(int) - (out[k] <= low)
        hit[k] = np.where(np.where(beyond < 0, interval.low_closed, interval.high_closed), beyond, 0)
        out[k] = np.clip(out[k], low, high)
    return out, hit
