r"""A minimum in several arguments at once, for many points.

**Descent.** The arguments are minimised in turn, each globally on its interval (:mod:`.minimise`), from three starts; the lowest
result that settles counts. The error falls in every turn.

**Newton.** When no argument moves by more than a stated share any more, Newton's iteration on the exact gradient takes over, its
Hessian a difference quotient of the gradient. It is accepted if the last step is at most :math:`10^{-9}` of the arguments and the
Hessian there is positive definite. An argument at an end of its range stays there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.minimise import Curves, Interval, minimise

__all__ = ["JointMinimum", "Landscape", "minimise_jointly"]

_STARTS = (1e-3, 1.0, 1e3)
_MOVES = (1e-3, 1e-5, 1e-7)
_SWEEPS = 100
_NEWTON = 20
_SETTLED = 1e-9
_QUOTIENT = 2.0**-20
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

    def error_at(self, x: np.ndarray) -> np.ndarray:
        """Return the errors."""

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """Return the gradients, shape (arguments, points)."""


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
        ConvergenceError: If neither the descent nor Newton's iteration settles.
    """
    best: JointMinimum | None = None
    for start in _STARTS:
        try:
            found = _settled(landscape, _start(landscape, start))
        except ConvergenceError:
            if best is None and start == _STARTS[-1]:
                raise
            continue
        if best is None:
            best = found
        else:
            lower = found.error < best.error
            best = JointMinimum(*(np.where(lower, a, b) for a, b in zip(_fields(found), _fields(best), strict=True)))
    assert best is not None
    return best


def _fields(m: JointMinimum) -> tuple[np.ndarray, ...]:
    return m.value, m.error, m.end, m.attained, m.flat


def _start(landscape: Landscape, u: float) -> np.ndarray:
    everywhere = np.arange(landscape.size)
    x = np.ones((landscape.count, landscape.size))
    for k in range(landscape.count):
        _, interval = landscape.along(k, x)
        x[k] = interval.place(np.full(landscape.size, u), everywhere)
    return x


def _settled(landscape: Landscape, x: np.ndarray) -> JointMinimum:
    for moves in _MOVES:
        found = _descend(landscape, x, moves)
        x = found.value
        if not found.attained.all() or found.flat.any():
            return found
        polished, good = _newton(landscape, found)
        if good.all():
            return JointMinimum(polished, landscape.error_at(polished), found.end, found.attained, found.flat)
    raise ConvergenceError(
        f"a minimum in {landscape.count} arguments did not settle at {int((~good).sum())} of {landscape.size} points; "
        "optimise fewer arguments at once, or narrow their ranges with between="
    )


def _descend(landscape: Landscape, x: np.ndarray, moves: float) -> JointMinimum:
    """Minimise the arguments in turn until none moves by more than a share of itself."""
    everywhere, x = np.arange(landscape.size), x.copy()
    end, attained, flat = np.zeros(x.shape, dtype=int), np.ones(x.shape, dtype=bool), np.zeros(x.shape, dtype=bool)
    for _ in range(_SWEEPS):
        before = x.copy()
        for k in range(landscape.count):
            curves, interval = landscape.along(k, x)
            found = minimise(curves, interval, None)
            end[k], attained[k], flat[k] = found.end, found.attained, found.flat
            edge = interval.place(np.where(end[k] > 0, _EDGE, 1 / _EDGE), everywhere)
            x[k] = np.where(flat[k], x[k], np.where(attained[k], found.value, edge))
        if (np.abs(x - before) <= moves * np.abs(x)).all():
            break
    return JointMinimum(x, landscape.error_at(x), end, attained, flat)


def _newton(landscape: Landscape, found: JointMinimum) -> tuple[np.ndarray, np.ndarray]:
    """Return the stationary points near those of a descent, and whether each is accepted."""
    x, free, origin = found.value.copy(), (found.end == 0).T, found.value
    step: Any = np.inf
    hessian = np.empty((landscape.size, landscape.count, landscape.count))
    for _ in range(_NEWTON):
        slope = landscape.gradient(x)
        scale = np.where(x == 0, 1.0, np.abs(x))
        for k in range(landscape.count):
            moved = x.copy()
            moved[k] = np.where(free[:, k], x[k] - _QUOTIENT * scale[k], x[k])
            with np.errstate(invalid="ignore"):
                hessian[:, :, k] = ((slope - landscape.gradient(moved)) / _QUOTIENT * scale).T  # of log-like arguments
        both = free[:, :, None] & free[:, None, :]
        scaled = np.where(both, (hessian + np.swapaxes(hessian, 1, 2)) / 2, np.eye(landscape.count))
        g = np.where(free, (slope * scale).T, 0.0)
        definite = np.linalg.eigvalsh(scaled)[:, 0] > 0
        share = np.linalg.solve(np.where(definite[:, None, None], scaled, np.eye(landscape.count)), -g[:, :, None])[
            :, :, 0
        ].T
        step = np.abs(share).max(axis=0)
        x = x + scale * np.where(step <= 0.5, share, 0.0)
        if not (definite & (step <= 0.5)).all() or (step <= _SETTLED).all():
            break
    stayed = (np.abs(x - origin) <= 0.5 * np.abs(origin)).all(axis=0)
    return x, definite & (step <= _SETTLED) & stayed
