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

.. math:: x_i=c_i+\frac{a_i}{N}\sum_jm_j\,s_{ij}\rho_{ij}\,k_j,\qquad
   k_j=\Big(p_j+\sum_l\frac{a_lT_l}{N\,x_l}s_{lj}\rho_{lj}\Big)^{-1},

with :math:`c_i=\lambda` or 1, :math:`p_j=1` or :math:`\lambda`, and :math:`\rho_{ij}=\lambda` where an open design sees a
closed direction, 1 elsewhere. Weighted by :math:`T_i/x_i` they add up to
:math:`\sum T_i-\operatorname{rank}+\sum_jm_jp_jk_j=\sum_iT_ic_i/x_i`, in which nothing cancels near a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.numerics.ranks import Openness, openness
from collapse_theory.numerics.reals import FLOAT64, Reals

__all__ = ["Resolvent", "solve_resolvent"]

_ITERATIONS = 2400  # Newton from above at least halves its distance: this covers the exponents of float64


@dataclass(frozen=True)
class Resolvent:
    """The solved equivalent of one fit's resolvent.

    Attributes:
        opened: Which designs and directions stay open without ridge.
        scale: ``b_i`` of open designs, ``v_i = b_i / lam`` of closed ones; shape (designs,).
        constant: ``c``, shape (designs,).
        error: ``K`` in open directions, ``K / lam`` in closed ones; shape (k,).
        penalty: ``p``, which is also ``rho`` of the open designs: 1 in open directions, the ridge in closed; shape (k,).
        residual: Largest relative residual of the equations.
    """

    opened: Openness
    scale: np.ndarray
    constant: np.ndarray
    error: np.ndarray
    penalty: np.ndarray
    residual: Any


def solve_resolvent(
    s: np.ndarray,
    counts: np.ndarray,
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
        counts: Multiplicities, shape (k,).
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
    opened = openness(s > 0, counts, rows)
    if ridge == 0 and opened.threshold is not None:
        raise DomainError(
            f"a fit without ridge needs rows != rank, got {opened.threshold:g} rows that see as many directions; "
            "the variance has no finite limit there; change the rows, or give a ridge > 0"
        )
    one = reals.array(1.0)[()]
    penalty = np.where(opened.directions, one, ridge)  # and the reach of the open designs
    seen = np.where(opened.designs[:, None], s * penalty, s)
    equations = _Equations(
        seen, counts, weights / total_rows, weights * rows / total_rows, rows,
        opened.designs, np.where(opened.designs, ridge, one), penalty, np.asarray((s > 0).any(axis=0)), reals,
    )  # fmt: skip
    x = equations.polished(equations.approached(equations.beginning() if start is None else start))
    if nudge:
        x = x * (1 + nudge * equations.sensitivity(x))
    residual = np.max(np.abs(equations.gap(x, equations.kernel(x))))
    if not residual <= 1e4 * reals.epsilon:
        raise ConvergenceError(
            f"effective ridges did not settle, relative residual {float(residual):.1e} at rows={rows}, ridge={ridge}; "
            "move away from the threshold"
        )
    return Resolvent(opened, x, equations.constant, equations.kernel(x), penalty, residual)


@dataclass(frozen=True)
class _Equations:
    """The equations in relative terms: right-hand side over unknown, minus one."""

    seen: np.ndarray
    counts: np.ndarray
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
        return np.asarray((self.constant + self.a * ((self.seen * self.counts) @ kernel)) / x - 1)

    def matrix(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return minus the derivative of ``gap * x`` by the logarithms, over ``x``: a matrix I - J with J >= 0."""
        pull = self.seen * self.counts * kernel * (self.a / x)[:, None]  # these products neither overflow nor vanish
        return np.asarray(np.eye(len(x), dtype=int) - pull @ self.taken(x, kernel).T)

    def taken(self, x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return what each design takes of each direction, shape (designs, k), at most one."""
        return np.asarray(self.seen * kernel * (self.mass / x)[:, None])

    def beginning(self) -> np.ndarray:
        """Return a point above the root or of its order: ``k <= 1/p``, at a threshold about its root, and ``rho/p = 1``."""
        usable = np.asarray(self.live & (self.penalty > 0), dtype=bool)
        kernel = np.divide(1, self.penalty**0.5, out=0 * self.penalty, where=usable)
        top = self.constant + self.a * ((self.seen * self.counts) @ kernel)
        rank, rows = self.counts[self.live].sum(), self.rows.sum()
        if rows > rank:
            top = np.where(self.open, top, self.a / self.a.min() / (1 - rank / rows))
        return np.asarray(top)

    def approached(self, x: np.ndarray) -> np.ndarray:
        """Return a point near the root: Newton's iteration, which is monotone from above, and plain steps below."""
        ones = 0 * x + 1
        for _ in range(_ITERATIONS):
            kernel = self.kernel(x)
            gap, matrix = self.gap(x, kernel), self.matrix(x, kernel)
            plain = x * (1 + gap)
            try:
                step, slack = self.reals.solve(np.stack([matrix, matrix]), np.stack([gap, ones]))
                following = x * (1 + step) if (slack > 0).all() and (step > -1).all() else plain
            except ConvergenceError:
                following = plain
            change = np.max(np.abs(following - x) / following)
            x = following
            if not change > 1e-3 or np.max(np.abs(gap)) <= 16 * self.reals.epsilon:
                break
        return x

    def polished(self, x: np.ndarray) -> np.ndarray:
        """Return the root from a point near it, to round-off, with the equation of the largest design in complement form."""
        before = None
        for _ in range(_ITERATIONS):
            kernel = self.kernel(x)
            gap, matrix, _ = self._complemented(x, kernel)
            step = self.reals.solve(matrix, gap)
            # In logarithms the complement form is like a hyperbolic sine: steps of any length are safe once they are capped.
            following = x * np.where(step > -0.75, 1 + np.minimum(step, 3), 0.25)
            change = np.max(np.abs(following - x) / following)
            x = following
            if not change > 4 * self.reals.epsilon or (before is not None and before < 1e-7 and change >= before / 2):
                break
            before = change
        return x

    def sensitivity(self, x: np.ndarray) -> np.ndarray:
        """Return the relative change of the root when every equation is off by one unit of round-off of its terms."""
        _, matrix, size = self._complemented(x, self.kernel(x))
        return np.asarray(self.reals.epsilon * self.reals.solve(matrix, size))

    def _complemented(self, x: np.ndarray, kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return gap, matrix and the size of the terms in each gap."""
        gap, matrix, terms = self.gap(x, kernel), self.matrix(x, kernel), 0 * x + 2
        rank = self.counts[self.live].sum()
        left = (self.counts * self.penalty * kernel)[self.live]
        if left.sum() > rank / 2:  # few degrees of freedom: nothing cancels in the plain form
            return gap, matrix, terms
        share = self.rows * self.constant / x
        r = int(np.argmax(self.rows))
        gap[r] = share.sum() - left.sum() - (self.rows.sum() - rank)
        matrix[r] = share + self.taken(x, kernel)[:, self.live] @ left
        size = np.max(matrix[r])
        gap[r], matrix[r] = gap[r] / size, matrix[r] / size
        terms[r] = (share.sum() + left.sum() + abs(self.rows.sum() - rank)) / size
        return gap, matrix, terms
