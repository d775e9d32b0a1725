r"""The Newton iterations: one for many equations in one unknown, one for a system, with one cap and one rule of acceptance.

**The rule.** A root is accepted if the relative residual there is at most :math:`\epsilon^{3/4}`, three quarters of the digits of
its arithmetic (1.8e-12 in float64). The relative residual of an equation :math:`f(x)=0` is :math:`|f|/(xf')`, to first order the
relative distance of x to the root; that of a system :math:`x=\varphi(x)` is :math:`|\varphi-x|` over the unknown. An equation is
iterated until a step is so short that its square is round-off, and takes one more step, whose length is the residual. A system is
iterated until its residual is within a few units of round-off, and once more, or until it is accepted and does not halve.

Equations are data (:mod:`.equations`): a residual, a slope, and a bracket that a stated inequality makes safe. From the end of the
bracket where :math:`ff''\ge0` the iteration is monotone. It is kept within the points that were seen on either side of the root,
and halves that interval where the slope leads out of it, so that an equation without such an end is solved too.

Source: monotone convergence of Newton's iteration for convex equations, Ortega, Rheinboldt, Iterative Solution of Nonlinear
Equations in Several Variables, 1970, ch. 13. The rule of acceptance is ours.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np

from collapse_theory.numerics.solution import Solution, Status

__all__ = ["CAP", "FLOAT64", "Equation", "System", "accepted", "find_root", "solve_system"]

CAP = 400  # a monotone iteration at least halves its distance, and starts are of the order of the root
_SETTLED = 4  # units of round-off
_STRIDE = 1024.0  # of a bracket with an open end
FLOAT64 = float(np.finfo(float).eps)
"""Relative spacing of the numbers of float64."""


def accepted(epsilon: Any) -> Any:
    """Return the largest residual of an accepted root, in an arithmetic of relative spacing ``epsilon``."""
    return epsilon**0.75


class Equation(Protocol):
    """Equations :math:`f(x)=0` in one positive unknown each, :math:`f<0` below the root; arrays of any arithmetic."""

    @property
    def bracket(self) -> tuple[np.ndarray, np.ndarray]:
        """A floor of each root, and where the iteration begins; what begins at zero is a root."""

    def local(self, x: np.ndarray, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return residual and slope; ``rough`` takes sums whose round-off grows with their length."""

    def among(self, places: np.ndarray) -> Equation:
        """Return some of the equations."""


def find_root(
    equation: Equation, epsilon: Any = FLOAT64, *, ceiling: np.ndarray | None = None, rough: bool = False
) -> Solution:
    """Return the roots of many equations; those that have settled take no further part.

    Args:
        equation: The equations.
        epsilon: Relative spacing of the numbers.
        ceiling: Where the equations are known to be positive, if the iteration begins elsewhere.
        rough: Whether to leave out the last step, in careful sums; the square of the one before stands for the residual.
    """
    floor, x = (np.array(a) for a in equation.bracket)
    low, high = 0 * x, 0 * x + (np.inf if ceiling is None else ceiling)
    solved = live = np.flatnonzero(x > 0)
    steps, short = 0, _SETTLED * epsilon**0.5
    gap = 0 * x
    while live.size and steps < CAP:
        steps += 1
        here, a, b = x[live], low[live], high[live]
        residual, slope = (equation if live.size == x.size else equation.among(live)).local(here, rough=True)
        low[live] = a = np.where(residual < 0, here, a)
        high[live] = b = np.where(residual > 0, here, b)
        following = np.maximum(here - residual / slope, floor[live])
        back = (following <= a) & (here > a)  # to the floor, say, if that was seen: it would come back here
        inside = (following > 0) & (following >= a) & (following <= b) & ~back
        if not inside.all():
            following = np.where(inside, following, _between(a, b))
        x[live] = following
        step = np.abs(following - here)
        if rough:
            gap[live] = (step / following) ** 2
        live = live[step > short * following]
    # The last step takes careful sums: the round-off of the others may grow with the number of nodes.
    if solved.size and not rough:
        here = x[solved]
        residual, slope = (equation if solved.size == x.size else equation.among(solved)).local(here, rough=False)
        x[solved] = np.maximum(here - residual / slope, floor[solved])
        gap[solved] = np.abs(x[solved] - here) / here
    return Solution(x, _status(gap, epsilon, ended=live.size == 0), gap, steps)


def _between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the geometric mean of two ends; a stride away from the closed one if the other is open, at 0 or infinity."""
    top, bottom = np.where(high < np.inf, high, 1), np.where(low > 0, low, 1)
    inner = np.where(low > 0, top**0.5 * bottom**0.5, top / _STRIDE)
    return np.where(high < np.inf, inner, bottom * _STRIDE)


def _status(residual: Any, epsilon: Any, *, ended: bool = True) -> Status:
    if not np.all(np.less(residual, np.inf)):
        return Status.UNDEFINED
    good = ended and np.all(residual <= accepted(epsilon))
    return Status.SETTLED if good else Status.CAPPED


State = TypeVar("State")


class System(Protocol[State]):
    r"""A system :math:`x=\varphi(x)`; a state is what an equation knows at a point."""

    def state(self, x: Any) -> State:
        """Return what is known at the first point."""

    def residual(self, x: Any, state: State) -> Any:
        """Return the largest relative residual; infinite outside the domain."""

    def following(self, x: Any, state: State) -> tuple[Any, State]:
        """Return the next point and what is known there: Newton's step, or a safer one."""


def solve_system(system: System[State], x: Any, epsilon: Any = FLOAT64) -> Solution:
    """Return the best point on the way of Newton's iteration in several unknowns.

    Args:
        system: The system, or many of the same unknowns: ``x`` has shape (..., unknowns), a residual (...), and each of them is
            done on its own.
        x: Where to begin.
        epsilon: Relative spacing of the numbers.
    """
    state = system.state(x)
    best, least = x, system.residual(x, state)
    steps, done = 0, np.zeros(np.shape(least), dtype=bool)
    while steps < CAP and not done.all():
        steps += 1
        enough = np.less_equal(
            least, _SETTLED * epsilon
        )  # one more step leaves nothing but the round-off of the equation
        x, state = system.following(x, state)
        here = system.residual(x, state)
        halved, good = np.less(here, least / 2), np.less_equal(here, accepted(epsilon))
        better = ~done & (np.less(here, least) | (enough & good))
        best, least = _chosen(better[..., None], x, best), _chosen(better, here, least)
        done |= enough | (np.less_equal(least, accepted(epsilon)) & ~halved) | np.not_equal(here, here)
    return Solution(best, _status(least, epsilon), least, steps)


def _chosen(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition holds, else ``b``; numbers as such if there is but one condition."""
    if condition.size == 1:
        return a if condition.all() else b
    return np.where(condition, a, b)
