"""The effective ridges of the fits of a pipeline, from the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.derive.cavity import OwnFit
from collapse_theory.derive.pooled import PooledFit
from collapse_theory.numerics.complements import SolvedFit
from collapse_theory.numerics.jets import Jet, value_of
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import FLOAT64, Reals
from collapse_theory.numerics.resolvents import Resolvent, solve_resolvent

__all__ = ["FitNumbers", "float64_start", "solved_fit"]


class RidgeNumbers(Reals, Protocol):
    """Numbers in which single effective ridges are solved; see :class:`.Arithmetic`."""

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge, and the residual degrees of freedom."""

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for a fit on random features."""


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
    def of(
        cls, f: PooledFit, measure: Measure, number: Mapping[Expr, Any], reals: RidgeNumbers, unit: Any = 1
    ) -> FitNumbers:
        """Return the numbers of a fit.

        Args:
            f: The fit.
            measure: Eigenvalues and directions.
            number: Value of every parameter of the fit.
            reals: The numbers.
            unit: What to multiply the ridge with: that of the eigenvalues.
        """
        ridge = number[f.ridge] * unit
        return cls(
            np.stack([measure.at(x.covariance) for x in f.designs]),
            measure,
            reals.array([number[x.weight] for x in f.designs]),
            reals.array([number[x.T] for x in f.designs]),
            number[f.N],
            ridge if f.features is None else penalty_of_features(f, measure, number, ridge, reals),
        )

    def solved(self, reals: Reals, start: np.ndarray | None = None) -> Resolvent:
        """Return the effective ridges, see :func:`.solve_resolvent`."""
        return solve_resolvent(
            self.s, self.measure, self.weights, self.rows, self.total_rows, self.ridge, reals, start=start
        )


def penalty_of_features(
    f: PooledFit, measure: Measure, number: Mapping[Expr, Any], ridge: Any, numbers: RidgeNumbers
) -> Any:
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
    m, lam = number[f.features.m], ridge / mass
    T, features, plain = (value_of(x) for x in (rows, m, lam))
    if plain == 0 and T == features <= measure.rank:
        raise DomainError(
            f"a fit on features without a ridge needs numbers of rows and features that differ, got T = {T} and "
            f"m = {features} below the rank {measure.rank}: its error is infinite; give a ridge"
        )
    y, residual = numbers.features(measure, features, T, plain)
    if not any(isinstance(x, Jet) for x in (rows, m, lam)):
        return mass * y
    kappa, left = numbers.ridge(measure, T, y)
    spread = measure.trace(measure.nodes / (measure.nodes + kappa) ** 2)
    per_row = kappa * (1 - y / kappa) * spread / left
    dT, dm, dlam = (x.slope if isinstance(x, Jet) else 0 for x in (rows, m, lam))
    slope = (features * dlam - (y - plain) * dm + y * per_row * dT) / residual
    return mass * Jet(y, slope)


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
    if not np.isfinite(found.scale).all():  # float64 has not the exponents
        return None
    return found.scale * np.where(found.opened.designs, unit, 0 * unit + 1)


def _floats(x: np.ndarray) -> np.ndarray:
    return x.astype(float)


def solved_fit(
    f: PooledFit, found: Resolvent, number: Mapping[Expr, Any], s: Mapping[str, np.ndarray], reals: Reals
) -> SolvedFit:
    """Return a fit as the equations between fits need it; ``s`` are the eigenvalues by covariance."""
    opened = found.opened
    uniform = bool(opened.directions.all() or not opened.directions.any())
    mass = reals.array([number[x.weight] * number[x.T] / number[f.N] for x in f.designs])
    response, left, size = 1 / found.scale, found.constant, range(len(f.designs))
    own = OwnFit(
        found.error,
        found.error * found.penalty,
        [response[n : n + 1] for n in size],
        [1 if uniform or not is_open else found.penalty for is_open in opened.designs],
        [left[n : n + 1] for n in size],
        None if f.features is None else found.penalty,
    )
    return SolvedFit(own, uniform, s, mass / found.scale, found.constant / found.scale)
