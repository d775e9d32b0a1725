r"""The effective ridges of one fit that pools designs of different weights and covariances.

For designs with row weights :math:`a_i`, rows :math:`T_i` and covariances :math:`\Sigma_i`, :math:`N` rows in all,

.. math:: b_i=\lambda+\frac{a_i}{N}\operatorname{tr}\Sigma_iK,\qquad
   K=\Big(1+\sum_l\frac{a_lT_l}{N\,b_l}\Sigma_l\Big)^{-1},

and :math:`\lambda(\hat S+\lambda)^{-1}\simeq K`. With one covariance :math:`K=\kappa(\Sigma+\kappa)^{-1}`,
:math:`\kappa=1/\sum_l(a_lT_l/Nb_l)`. The right-hand side is increasing and concave in :math:`b`, so Newton's iteration
descends monotonically from any point above the root.

Without ridge some designs have more rows than they see directions (*closed*, see :mod:`.ranks`): there
:math:`b_i=\lambda v_i`, and :math:`K=\lambda k` in the directions they see. In :math:`x_i\in\{b_i,v_i\}` and
:math:`k_j\in\{K_j,K_j/\lambda\}` the equations hold at every ridge, zero included:

.. math:: x_i=c_i+\frac{a_i}{N}\sum_jd_j\,s_{ij}\rho_{ij}\,k_j,\qquad
   k_j=\Big(p_j+\sum_l\frac{a_lT_l}{N\,x_l}s_{lj}\rho_{lj}\Big)^{-1},

with :math:`c_i=\lambda` or 1, :math:`p_j=1` or :math:`\lambda`, and :math:`\rho_{ij}=\lambda` where an open design sees a
closed direction, 1 elsewhere; :math:`d_j` directions have node :math:`j`. Weighted by :math:`T_i/x_i` they add up to
:math:`\sum T_i-\operatorname{rank}+\sum_jd_jp_jk_j=\sum_iT_ic_i/x_i`, in which nothing cancels near a threshold.

Source: Couillet, Debbah, Silverstein, A deterministic equivalent for the analysis of correlated MIMO multiple access channels,
IEEE Transactions on Information Theory 2011. The scaling by the ridge and the complement form are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.newton import solve_system
from collapse_theory.numerics.ranks import Openness, openness
from collapse_theory.numerics.reals import FLOAT64, Reals

__all__ = ["FitEquations", "Resolvent", "fit_equations", "solve_resolvent"]

_NEAR = 1e-3  # length of a relative step from which the complement form takes over
_SHORTEST, _LONGEST = 0.25, 4.0  # factor of a step in the complement form


@dataclass(frozen=True)
class Resolvent:
    """The solved equivalent of one fit's resolvent.

    Attributes:
        opened: Which designs and directions stay open without ridge.
        scale: ``b_i`` of open designs, ``v_i = b_i / lam`` of closed ones; shape (..., designs).
        constant: ``c``, shape (..., designs).
        error: ``K`` in open directions, ``K / lam`` in closed ones; shape (..., k).
        penalty: ``p``, which is also ``rho`` of the open designs: 1 in open directions, the ridge in closed; shape (..., k).
        residual: Relative residual of the equations, shape (...).
    """

    opened: Openness
    scale: np.ndarray
    constant: np.ndarray
    error: np.ndarray
    penalty: np.ndarray
    residual: Any


def solve_resolvent(
    s: np.ndarray,
    measure: Measure,
    weights: np.ndarray,
    rows: np.ndarray,
    total_rows: Any,
    ridge: Any,
    reals: Reals = FLOAT64,
    start: np.ndarray | None = None,
) -> Resolvent:
    """Solve the effective ridges of one fit, at one point or at many.

    Args:
        s: Eigenvalues of each design's covariance in the common basis, shape (designs, k), of any scale.
        measure: The directions at each of the k nodes.
        weights: Row weights, positive, shape (..., designs).
        rows: Rows, shape (..., designs).
        total_rows: Rows in all, those of weight zero included, shape (...).
        ridge: Ridge on the mean squared error, >= 0, shape (...).
        reals: The numbers of these arrays.
        start: A guess of ``scale``; by default one from which Newton's iteration descends.

    Returns:
        The solution. Of many points those that did not settle have a residual that is not :func:`.accepted`.

    Raises:
        DomainError: Without ridge where rows and the directions they see are equal in number: the variance has no finite limit.
        ConvergenceError: If the iteration does not settle at the only point.
    """
    equations = fit_equations(s, measure, weights, rows, total_rows, ridge, reals)
    found = solve_system(equations, equations.beginning() if start is None else start, reals.epsilon)
    if np.ndim(ridge) == 0:
        found.checked("the effective ridges", "move away from the threshold", rows=rows, ridge=ridge)
    x = found.value
    measure.check_depth(equations.kernel(x))
    return Resolvent(equations.opened, x, equations.constant, equations.kernel(x), equations.penalty, found.residual)


def fit_equations(
    s: np.ndarray, measure: Measure, weights: np.ndarray, rows: np.ndarray, total_rows: Any, ridge: Any, reals: Reals
) -> FitEquations:
    """Return the equations of :func:`solve_resolvent`.

    Raises:
        DomainError: At a threshold without ridge.
    """
    opened = openness(s > 0, measure, np.real(rows))
    at = np.ravel(np.equal(ridge, 0) & np.not_equal(opened.threshold, 0))
    if at.any():
        raise DomainError(
            f"a fit without ridge needs rows != rank, got {float(np.ravel(opened.threshold)[at.argmax()]):g} rows that see as many "
            "directions; the variance has no finite limit there; change the rows, or give a ridge > 0"
        )
    one, lam, N = reals.array(1.0)[()], np.asarray(ridge)[..., None], np.asarray(total_rows)[..., None]
    penalty = np.where(opened.directions, one, lam)  # and the reach of the open designs
    live = np.asarray((s > 0).any(axis=0))
    return FitEquations(
        opened,
        np.where(opened.designs[..., None], s * penalty[..., None, :], s),
        measure.plain,
        measure.directions(live),
        weights / N,
        weights * rows / N,
        rows,
        np.where(opened.designs, lam, one),
        penalty,
        live,
        reals,
    )


@dataclass(frozen=True)
class _Point:
    """What the equations know at a point.

    Attributes:
        gap: Right-hand sides over unknowns, minus one.
        matrix: Minus the derivative by the logarithms of the unknowns.
        near: Whether the complement form has taken over.
    """

    gap: np.ndarray
    matrix: np.ndarray
    near: np.ndarray


@dataclass(frozen=True)
class FitEquations:
    """The equations in relative terms, a :class:`.System`; ``rank`` is the number of directions that the designs see.

    First Newton's iteration of the plain form, monotone from above, with plain steps below; near the root the equation of the
    largest design is replaced by the sum, the complement form, where nothing cancels. Functions have shape (..., k), unknowns
    (..., designs), where the leading axes are points.
    """

    opened: Openness
    seen: np.ndarray
    measure: Measure
    rank: Any
    a: np.ndarray
    mass: np.ndarray
    rows: np.ndarray
    constant: np.ndarray
    penalty: np.ndarray
    live: np.ndarray
    reals: Reals

    def kernel(self, x: np.ndarray) -> np.ndarray:
        """Return ``k``."""
        return np.asarray(1 / (self.penalty + ((self.mass / x)[..., None, :] @ self.seen)[..., 0, :]))

    def gap(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return how far the plain form is from one."""
        return np.asarray((self.constant + self.a * self.measure.trace(self.seen * kernel[..., None, :])) / x - 1)

    def matrix(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return minus the derivative of ``gap * x`` by the logarithms, over ``x``: a matrix I - J with J >= 0."""
        pull = self.seen * kernel[..., None, :] * (self.a / x)[..., None]  # these products neither overflow nor vanish
        taken = self.measure.products(pull, self.taken(x, kernel))
        return np.asarray(np.eye(x.shape[-1], dtype=int) - taken)

    def taken(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return what each design takes of each direction, shape (..., designs, k), at most one."""
        return np.asarray(self.seen * kernel[..., None, :] * (self.mass / x)[..., None])

    def beginning(self) -> np.ndarray:
        """Return a point above the root or of its order: ``k <= 1/p``, at a threshold about its root, and ``rho/p = 1``.

        Closed designs have a ``v`` of the order of their rows over the margin by which these are more than the directions.
        """
        usable = np.asarray(self.live & (self.penalty > 0), dtype=bool)
        kernel = np.divide(1, self.penalty**0.5, out=0 * self.penalty, where=usable)
        top = self.constant + self.a * self.measure.trace(self.seen * kernel[..., None, :])
        opened = self.opened
        margin, tied = (np.asarray(x)[..., None] for x in (opened.margin, np.not_equal(opened.threshold, 0)))
        free = self.a / self.a.min(axis=-1, keepdims=True) * self.rows.sum(axis=-1, keepdims=True) / margin
        return np.where(opened.designs, top, np.where(tied, np.maximum(top, free), free))

    def state(self, x: np.ndarray) -> _Point:
        """Return what is known at the first point."""
        return self._point(x, np.zeros(x.shape[:-1], dtype=bool))

    def residual(self, x: np.ndarray, state: _Point) -> Any:  # noqa: ARG002 - it is relative already
        """Return the largest gap; on the way to the root the plain form is not believed."""
        largest = np.max(np.abs(state.gap), axis=-1)
        return np.where(state.near, largest, np.inf)[()]

    def following(self, x: np.ndarray, state: _Point) -> tuple[np.ndarray, _Point]:
        """Return the next point; the complement form is like a hyperbolic sine in logarithms, and its steps are capped."""
        near = state.near
        step, slack = self._steps(state, 0 * x + 1)
        safe = np.asarray((slack > 0).all(axis=-1) & (step > -1).all(axis=-1))[..., None]
        plain = x * (1 + np.where(safe, step, state.gap))
        following = np.where(near[..., None], x * np.clip(1 + step, _SHORTEST, _LONGEST), plain)
        change = np.max(np.abs(following - x) / following, axis=-1)
        gap = np.max(np.abs(state.gap), axis=-1)
        arrived = np.logical_not(change > _NEAR) | (gap <= 16 * self.reals.epsilon)
        return following, self._point(following, near | arrived)

    def _steps(self, state: _Point, one: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return Newton's steps, and what is positive where these are safe; of a singular matrix no step at all."""
        matrix, right = np.stack([state.matrix, state.matrix]), np.stack([state.gap, one])
        try:
            step, slack = self.reals.solve(matrix, right)
        except ConvergenceError:
            if one.ndim == 1:
                return 0 * one, 0 * one
            each = [self._steps(_Point(state.gap[i], state.matrix[i], state.near[i]), one[i]) for i in range(len(one))]
            step, slack = (np.stack(x) for x in zip(*each, strict=True))
        return step, slack

    def _point(self, x: np.ndarray, near: np.ndarray) -> _Point:
        kernel = self.kernel(x)
        gap, matrix = self.gap(x, kernel), self.matrix(x, kernel)
        if near.any():
            complement = self.complemented(x, kernel)
            gap = np.where(near[..., None], complement[0], gap)
            matrix = np.where(near[..., None, None], complement[1], matrix)
        return _Point(gap, matrix, near)

    def sensitivity(self, x: np.ndarray) -> np.ndarray:
        """Return the relative change of the root when every equation is off by one unit of round-off of its terms."""
        _, matrix, size = self.complemented(x, self.kernel(x))
        return np.asarray(self.reals.epsilon * self.reals.solve(matrix, size))

    def complemented(self, x: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gap, matrix and the size of the terms in each gap."""
        gap, matrix, terms = self.gap(x, kernel), self.matrix(x, kernel), 0 * x + 2
        rank, rows = self.rank, self.rows.sum(axis=-1, keepdims=True)
        if rank == np.inf:  # few degrees of freedom: nothing cancels in the plain form
            return gap, matrix, terms
        kept = np.where(self.live, self.penalty * kernel, 0 * kernel)
        left, share = self.measure.trace(kept, column=True), self.rows * self.constant / x
        total = share.sum(axis=-1, keepdims=True)
        slope = share + self.measure.trace(self.taken(x, kernel) * kept[..., None, :])
        size = slope.max(axis=-1, keepdims=True)
        largest = np.argmax(self.rows, axis=-1)
        here = (np.arange(x.shape[-1]) == largest[..., None]) & (left <= rank / 2)
        gap = np.where(here, (total - left - (rows - rank)) / size, gap)
        matrix = np.where(here[..., None], (slope / size)[..., None, :], matrix)
        return gap, matrix, np.where(here, (total + left + np.abs(rows - rank)) / size, terms)
