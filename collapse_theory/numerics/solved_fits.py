"""The effective ridges of the fits of a pipeline, from the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.derive.cavity import OwnFit
from collapse_theory.derive.pooled import PooledFit
from collapse_theory.numerics.complements import SolvedFit
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import FLOAT64, Reals
from collapse_theory.numerics.resolvents import Resolvent, solve_resolvent

__all__ = ["FitNumbers", "float64_resolvent", "float64_start", "solved_fit"]


@dataclass(frozen=True)
class FitNumbers:
    """The numbers that the effective ridges of one fit depend on.

    Attributes:
        s: Eigenvalues of each design's covariance in the common basis, shape (designs, k).
        measure: The directions at each node.
        weights: Row weights, shape (designs,).
        rows: Rows, shape (designs,).
        total_rows: Rows in all.
        ridge: Ridge on the mean squared error.
    """

    s: np.ndarray
    measure: Measure
    weights: Any
    rows: Any
    total_rows: Any
    ridge: Any

    @classmethod
    def of(cls, f: PooledFit, measure: Measure, number: Mapping[Expr, Any], reals: Reals) -> FitNumbers:
        """Return the numbers of a fit.

        Args:
            f: The fit.
            measure: Eigenvalues and directions.
            number: Value of every parameter of the fit.
            reals: The numbers.
        """
        return cls(
            np.stack([measure.at(x.covariance) for x in f.designs]),
            measure,
            reals.array([number[x.weight] for x in f.designs]),
            reals.array([number[x.T] for x in f.designs]),
            number[f.N],
            number[f.ridge] if f.features is None else penalty_of_features(f, measure, number, reals),
        )

    def in_unit(self, unit: Any) -> FitNumbers:
        """Return the same fit with covariances and ridge in another unit."""
        return replace(self, s=self.s * unit, ridge=self.ridge * unit)

    def solved(self, reals: Reals, start: np.ndarray | None = None, nudge: int = 0) -> Resolvent:
        """Return the effective ridges, see :func:`.solve_resolvent`."""
        return solve_resolvent(
            self.s, self.measure, self.weights, self.rows, self.total_rows, self.ridge, reals, start=start, nudge=nudge
        )


def penalty_of_features(f: PooledFit, measure: Measure, number: Mapping[Expr, Any], reals: Reals) -> Any:
    r"""Return the ridge of a fit on the inputs with the effective ridge of one on features, :math:`\lambda/(1-\mathrm{df}_1/m)`.

    It is the ridge that :math:`m` rows leave to the features, in the equation that rows and features enter alike
    (:mod:`.feature_ridge`); with :math:`D` its residual degrees of freedom and :math:`y` that ridge for one unit of weight,

    .. math:: D\,\dot y=m\dot\lambda-(y-\lambda)\dot m+y\,\dot{\mathrm{df}_1},\qquad
       \partial_T\mathrm{df}_1=\frac{\kappa\,\mathrm{df}_1}{T(T-\mathrm{df}_2)}\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}.

    Raises:
        DomainError: Without a ridge, at as many rows as features below the rank.
    """
    if f.features is None:
        raise AssertionError("only a fit on features has a ridge of features")
    rows = sum(number[x.T] for x in f.designs)
    mass = number[f.designs[0].weight] * rows / number[f.N]
    m, lam = number[f.features.m], number[f.ridge] / mass
    T, features, ridge = (np.reshape(reals.array(value_of(x)), (1,)) for x in (rows, m, lam))
    y, residual = solve_features(measure, features, T, ridge, reals.epsilon)
    if residual[0] == 0:
        raise DomainError(
            f"a fit on features without a ridge needs numbers of rows and features that differ, got T = {T[0]} and "
            f"m = {features[0]} below the rank {measure.rank}: its error is infinite; give a ridge"
        )
    if not any(isinstance(x, Jet) for x in (rows, m, lam)):
        return mass * y[0]
    kappa = solve_effective_ridge(measure, T, y)
    spread = measure.trace(measure.nodes / (measure.nodes + kappa[:, None]) ** 2)
    explained = T * (1 - y / kappa)
    per_row = kappa * explained * spread / (T * residual_degrees(measure, T, y, kappa))
    dT, dm, dlam = (x.slope if isinstance(x, Jet) else 0 for x in (rows, m, lam))
    slope = (features * dlam - (y - ridge) * dm + y * per_row * dT) / residual
    return mass * Jet(y[0], slope[0])


def float64_resolvent(fit: FitNumbers, unit: float, nudge: int = 0) -> Resolvent:
    """Return the effective ridges of one fit in float64.

    Raises:
        DomainError: At a threshold without ridge.
        ConvergenceError: If they do not settle, or the ridge is below the normal numbers of float64.
    """
    if fit.ridge != 0 and abs(fit.ridge * unit) < np.finfo(float).tiny:
        raise ConvergenceError(
            f"float64 has too few digits for a ridge of {fit.ridge:.3g} on a spectrum of {fit.s.max():.3g}"
        )
    return fit.in_unit(unit).solved(FLOAT64, nudge=nudge)


def float64_start(fit: FitNumbers) -> np.ndarray | None:
    """Return the effective ridges in float64, where more digits start; None where float64 has no solution."""
    unit = fit.s.max()
    try:
        with np.errstate(all="ignore"):
            s, weights, rows = (np.asarray(x, dtype=float) for x in (fit.s / unit, fit.weights, fit.rows))
            rough = FitNumbers(
                s, fit.measure.mapped(_floats), weights, rows, float(fit.total_rows), float(fit.ridge / unit)
            )
            found = rough.solved(FLOAT64)
    except (ConvergenceError, DomainError):
        return None
    return found.scale * np.where(found.opened.designs, unit, 0 * unit + 1)


def _floats(x: np.ndarray) -> np.ndarray:
    return x.astype(float)


def solved_fit(
    f: PooledFit, found: Sequence[Resolvent], number: Mapping[Expr, Any], s: Mapping[str, np.ndarray], reals: Reals
) -> SolvedFit:
    """Return a fit as the equations between fits need it, at all scales ``found``; ``s`` by covariance."""
    opened = found[0].opened
    uniform = bool(opened.directions.all() or not opened.directions.any())
    mass = reals.array([number[x.weight] * number[x.T] / number[f.N] for x in f.designs])
    kernel, penalty = np.stack([r.error for r in found]), np.stack([r.penalty for r in found])
    response = np.stack([1 / r.scale for r in found])
    left = np.stack([r.constant for r in found])
    own = OwnFit(
        kernel,
        kernel * penalty,
        [response[:, n : n + 1] for n in range(len(f.designs))],
        [1 if uniform or not is_open else penalty for is_open in opened.designs],
        [left[:, n : n + 1] for n in range(len(f.designs))],
        None if f.features is None else penalty,
    )
    return SolvedFit(
        own, uniform, s, np.stack([mass / r.scale for r in found]), np.stack([r.constant / r.scale for r in found])
    )
