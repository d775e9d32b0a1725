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

__all__ = ["Resolvent", "solve_resolvent"]

_NEAR = 1e-3  # length of a relative step from which the complement form takes over
_SHORTEST, _LONGEST = 0.25, 4.0  # factor of a step in the complement form


@dataclass(frozen=True)
class Resolvent:
    """The solved equivalent of one fit's resolvent.

    Attributes:
        opened: Which designs and directions stay open without ridge.
        scale: ``b_i`` of open designs, ``v_i = b_i / lam`` of closed ones; shape (designs,).
        constant: ``c``, shape (designs,).
        error: ``K`` in open directions, ``K / lam`` in closed ones; shape (k,).
        penalty: ``p``, which is also ``rho`` of the open designs: 1 in open directions, the ridge in closed; shape (k,).
        residual: Relative residual of the equations.
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
    nudge: int = 0,
) -> Resolvent:
    """Solve the effective ridges of one fit.

    Args:
        s: Eigenvalues of each design's covariance in the common basis, shape (designs, k), of any scale.
        measure: The directions at each of the k nodes.
        weights: Row weights, positive, shape (designs,).
        rows: Rows, shape (designs,).
        total_rows: Rows in all, those of weight zero included.
        ridge: Ridge on the mean squared error, >= 0.
        reals: The numbers of these arrays.
        start: A guess of ``scale``; by default one from which Newton's iteration descends.
        nudge: Solve equations that are off by as many units of round-off, to see what these do to the solution.

    Raises:
        DomainError: Without ridge where rows and the directions they see are equal in number: the variance has no finite limit.
        ConvergenceError: If the iteration does not settle.
    """
    opened = openness(s > 0, measure, rows)
    if ridge == 0 and opened.threshold is not None:
        raise DomainError(
            f"a fit without ridge needs rows != rank, got {opened.threshold:g} rows that see as many directions; "
            "the variance has no finite limit there; change the rows, or give a ridge > 0"
        )
    one = reals.array(1.0)[()]
    penalty = np.where(opened.directions, one, ridge)  # and the reach of the open designs
    seen = np.where(opened.designs[:, None], s * penalty, s)
    equations = _FitEquations(
        seen, measure.plain, measure.directions((s > 0).any(axis=0)), weights / total_rows, weights * rows / total_rows, rows,
        opened.designs, np.where(opened.designs, ridge, one), penalty, np.asarray((s > 0).any(axis=0)), reals,
    )  # fmt: skip
    found = solve_system(equations, equations.beginning() if start is None else start, reals.epsilon)
    x = found.checked("the effective ridges", "move away from the threshold", rows=rows, ridge=ridge)
    measure.check_depth(equations.kernel(x))
    if nudge:
        x = x * (1 + nudge * equations.sensitivity(x))
    return Resolvent(opened, x, equations.constant, equations.kernel(x), penalty, found.residual)


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
    near: bool


@dataclass(frozen=True)
class _FitEquations:
    """The equations in relative terms, a :class:`.System`; ``rank`` is the number of directions that the designs see.

    First Newton's iteration of the plain form, monotone from above, with plain steps below; near the root the equation of the
    largest design is replaced by the sum, the complement form, where nothing cancels.
    """

    seen: np.ndarray
    measure: Measure
    rank: Any
    a: np.ndarray
    mass: np.ndarray
    rows: np.ndarray
    open: np.ndarray
    constant: np.ndarray
    penalty: np.ndarray
    live: np.ndarray
    reals: Reals

    def kernel(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (self.penalty + (self.mass / x) @ self.seen))

    def gap(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return np.asarray((self.constant + self.a * self.measure.trace(self.seen * kernel)) / x - 1)

    def matrix(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return minus the derivative of ``gap * x`` by the logarithms, over ``x``: a matrix I - J with J >= 0."""
        pull = self.seen * kernel * (self.a / x)[:, None]  # these products neither overflow nor vanish
        return np.asarray(np.eye(len(x), dtype=int) - self.measure.trace(pull[:, None] * self.taken(x, kernel)))

    def taken(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return what each design takes of each direction, shape (designs, k), at most one."""
        return np.asarray(self.seen * kernel * (self.mass / x)[:, None])

    def beginning(self) -> np.ndarray:
        """Return a point above the root or of its order: ``k <= 1/p``, at a threshold about its root, and ``rho/p = 1``."""
        usable = np.asarray(self.live & (self.penalty > 0), dtype=bool)
        kernel = np.divide(1, self.penalty**0.5, out=0 * self.penalty, where=usable)
        top = self.constant + self.a * self.measure.trace(self.seen * kernel)
        rows = self.rows.sum()
        if rows > self.rank:
            top = np.where(self.open, top, self.a / self.a.min() / (1 - self.rank / rows))
        return np.asarray(top)

    def state(self, x: np.ndarray) -> _Point:
        """Return what is known at the first point."""
        return self._point(x, near=False)

    def residual(self, x: np.ndarray, state: _Point) -> Any:  # noqa: ARG002 - it is relative already
        """Return the largest gap; on the way to the root the plain form is not believed."""
        return np.max(np.abs(state.gap)) if state.near else np.inf

    def following(self, x: np.ndarray, state: _Point) -> tuple[np.ndarray, _Point]:
        """Return the next point; the complement form is like a hyperbolic sine in logarithms, and its steps are capped."""
        if state.near:
            step = self.reals.solve(state.matrix, state.gap)
            following = x * np.clip(1 + step, _SHORTEST, _LONGEST)
            return following, self._point(following, near=True)
        following = x * (1 + state.gap)
        try:
            gaps = np.stack([state.gap, 0 * x + 1])
            step, slack = self.reals.solve(np.stack([state.matrix, state.matrix]), gaps)
            if (slack > 0).all() and (step > -1).all():
                following = x * (1 + step)
        except ConvergenceError:
            pass
        change = np.max(np.abs(following - x) / following)
        near = not change > _NEAR or np.max(np.abs(state.gap)) <= 16 * self.reals.epsilon
        return following, self._point(following, near=near)

    def _point(self, x: np.ndarray, *, near: bool) -> _Point:
        kernel = self.kernel(x)
        gap, matrix = self._complemented(x, kernel)[:2] if near else (self.gap(x, kernel), self.matrix(x, kernel))
        return _Point(gap, matrix, near)

    def sensitivity(self, x: np.ndarray) -> np.ndarray:
        """Return the relative change of the root when every equation is off by one unit of round-off of its terms."""
        _, matrix, size = self._complemented(x, self.kernel(x))
        return np.asarray(self.reals.epsilon * self.reals.solve(matrix, size))

    def _complemented(self, x: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gap, matrix and the size of the terms in each gap."""
        gap, matrix, terms = self.gap(x, kernel), self.matrix(x, kernel), 0 * x + 2
        rank = self.rank
        kept = np.where(self.live, self.penalty * kernel, 0 * kernel)
        left = rank if rank == np.inf else self.measure.trace(kept)
        if left > rank / 2 or rank == np.inf:  # few degrees of freedom: nothing cancels in the plain form
            return gap, matrix, terms
        share = self.rows * self.constant / x
        r = int(np.argmax(self.rows))
        gap[r] = share.sum() - left - (self.rows.sum() - rank)
        matrix[r] = share + self.measure.trace(self.taken(x, kernel) * kept)
        size = np.max(matrix[r])
        gap[r], matrix[r] = gap[r] / size, matrix[r] / size
        terms[r] = (share.sum() + left + abs(self.rows.sum() - rank)) / size
        return gap, matrix, terms
