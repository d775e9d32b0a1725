r"""The effective ridges of one fit that pools designs of different weights and covariances.

For designs with row weights :math:`a_i`, rows :math:`T_i` and covariances :math:`\Sigma_i`, :math:`N` rows in all,

.. math:: b_i=\lambda+\frac{a_i}{N}\operatorname{tr}\Sigma_iK,\qquad
   K=\Big(1+\sum_l\frac{a_lT_l}{N\,b_l}\Sigma_l\Big)^{-1},

and :math:`\lambda(\hat S+\lambda)^{-1}\simeq K`. With one covariance :math:`K=\kappa(\Sigma+\kappa)^{-1}`,
:math:`\kappa=1/\sum_l(a_lT_l/Nb_l)`. The right-hand side is increasing and concave in :math:`b`, so Newton's iteration
descends monotonically from any point above the root. At :math:`\lambda=0` with fewer directions than rows :math:`b`
vanishes like :math:`\lambda v`, and the equation is solved for :math:`v=b/\lambda`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from collapse_theory.errors import ConvergenceError, DomainError

__all__ = ["Resolvent", "solve_resolvent"]

_ITERATIONS = 500


@dataclass(frozen=True)
class Resolvent:
    """The solved equivalent of one fit's resolvent.

    Attributes:
        vanishing: Whether the scale of the residuals is the ridge (more directions than rows, or any ridge > 0 there).
        scale: ``b_i`` if ``vanishing``, else ``v_i = b_i / lam``; shape (designs,).
        error: The entry of ``G`` for the fit's error at the nodes: ``K`` if ``vanishing``, else ``K / lam``.
        residual: Largest relative residual of the equations.
    """

    vanishing: bool
    scale: np.ndarray
    error: np.ndarray
    residual: float


def solve_resolvent(
    s: np.ndarray, counts: np.ndarray, weights: np.ndarray, rows: np.ndarray, total_rows: float, ridge: float
) -> Resolvent:
    """Solve the effective ridges of one fit.

    Args:
        s: Eigenvalues of each design's covariance in the common basis, shape (designs, k).
        counts: Multiplicities, shape (k,).
        weights: Row weights, positive, shape (designs,).
        rows: Rows, shape (designs,).
        total_rows: Rows in all, those of weight zero included.
        ridge: Ridge on the mean squared error, >= 0.

    Raises:
        DomainError: Without ridge at exactly as many rows as directions, where the limit is infinite.
        ConvergenceError: If the iteration does not settle.
    """
    a, mass = weights / total_rows, weights * rows / total_rows
    live = (s > 0).any(axis=0)
    rank = float(counts[live].sum())
    vanishing = bool(rows.sum() < rank)
    if ridge == 0 and rows.sum() == rank:
        raise DomainError(
            f"a fit without ridge needs rows != rank, got {rows.sum():g} rows and rank {rank:g}; the limit is infinite there"
        )
    top = float(s.max())
    unit, lam = s / top, ridge / top
    weight = unit * counts
    # vanishing: b = lam + a tr Sigma (1 + sum mass Sigma / b)^{-1}; else v = 1 + a tr Sigma (lam + sum mass Sigma / v)^{-1}
    constant, offset = (lam, 1.0) if vanishing else (1.0, lam)

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        kernel = 1 / (offset + (mass / x) @ unit)
        kernel = np.where(live, kernel, 0.0)
        gap = constant + a * (weight @ kernel) - x
        slope = a[:, None] * ((weight * kernel**2) @ unit.T) * (mass / x**2)
        return kernel, gap, slope

    x = _start(weight, a, constant, offset, rows.sum(), rank)
    relative = np.inf
    for _ in range(_ITERATIONS):
        kernel, gap, slope = parts(x)
        step = np.linalg.solve(np.eye(len(x)) - slope, gap)
        following = x + step
        if not (following > 0).all() or np.linalg.det(np.eye(len(x)) - slope) <= 0:
            following = x + gap  # below the root the plain iteration climbs; Newton takes over above it
        change = float(np.max(np.abs(following - x) / following))
        x = following
        relative = float(np.max(np.abs(gap) / x))
        if change < 8 * np.finfo(float).eps:
            break
    else:
        if relative > 1e-12:
            raise ConvergenceError(
                f"effective ridges did not settle, relative residual {relative:.1e} at rows={rows}, ridge={ridge}; "
                "move away from the threshold"
            )
    kernel = 1 / (offset + (mass / x) @ unit)
    if not vanishing:  # directions without variance are never seen: the minimum-norm estimate is zero there
        kernel = np.where(live, kernel, np.inf if ridge == 0 else 1 / lam) / top
    return Resolvent(vanishing, x * (top if vanishing else 1.0), kernel, relative)


def _start(weight: np.ndarray, a: np.ndarray, constant: float, offset: float, rows: float, rank: float) -> np.ndarray:
    """Return a point above the root where one is known: there Newton's iteration is monotone."""
    if rows <= rank:  # K <= 1 gives b <= lam + a tr Sigma, and likewise for v
        return constant + a * weight.sum(axis=1) / offset
    return a / a.min() / (1 - rank / rows)
