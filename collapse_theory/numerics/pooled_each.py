"""Systems of pooled fits in float64, point by point by the recursion itself: with features, or with other questions than an error.

Repetitions of a point in other units round everything anew, so that their spread is the error, as in :mod:`.pooled_batch`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from sympy import Symbol

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.derive.pooled import PooledSystem
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.feature_ridge import solve_features
from collapse_theory.numerics.fit_ridges import Units
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.network import PipelineEquivalent
from collapse_theory.numerics.pooled_point import terms
from collapse_theory.numerics.reals import FLOAT64, Float64
from collapse_theory.numerics.resolvents import Resolvent
from collapse_theory.numerics.solved_fits import FitNumbers

__all__ = ["pooled_each"]


def pooled_each(
    system: PooledSystem,
    measure: Measure,
    values: Mapping[Symbol, np.ndarray],
    direction: Mapping[Symbol, np.ndarray],
    units: Units,
) -> np.ndarray:
    """Return bias and noise at every point, or their slopes along a direction where one is given.

    Args:
        system: The pooled fits.
        measure: Eigenvalues, counts and energies.
        values: Values of the system's symbols, of shape (points,).
        direction: Derivative of each value that moves, alike.
        units: The repetitions.

    Returns:
        Array of shape (repetitions, 2, points), not finite where float64 has no solution.
    """
    equivalent = PipelineEquivalent(system)
    size = max((np.size(x) for x in values.values()), default=1)
    top = max(measure.at(x.covariance).max() for f in system.fits for x in f.designs)
    out = np.full((len(units.scale), 2, size), np.nan)
    for r, unit in enumerate(units.scale * np.ldexp(1.0, -int(np.frexp(top)[1]))):
        scaled = replace(measure, values={name: s * unit for name, s in measure.values.items()})
        for i in range(size):
            point, along = ({x: float(v[i]) for x, v in each.items()} for each in (values, direction))
            moving = {x: v for x, v in along.items() if v != 0}
            if along and not moving:
                out[r, :, i] = 0.0
                continue
            try:
                bias, noise = terms(equivalent, _NUMBERS, scaled, point, moving, float(unit))
            except ConvergenceError:
                continue
            out[r, :, i] = float(bias) / unit, float(noise)
    return out


class _Float64(Float64):
    """float64 with the effective ridges of fits."""

    def ridge(self, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
        """Return the effective ridge and the residual degrees of freedom."""
        rows, ridge = (np.array([x], dtype=float) for x in (T, lam))
        kappa = solve_effective_ridge(measure, rows, ridge)
        return kappa[0], residual_degrees(measure, rows, ridge, kappa)[0]

    def features(self, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
        """Return the same for a fit on random features."""
        rows, features, ridge = (np.array([x], dtype=float) for x in (T, m, lam))
        y, residual = solve_features(measure, rows, features, ridge)
        return y[0], residual[0]

    def resolvent(self, fit: FitNumbers) -> Resolvent:
        """Return the effective ridges of one fit."""
        if fit.ridge != 0 and abs(fit.ridge) < np.finfo(float).tiny:
            raise ConvergenceError(f"float64 has too few digits for a ridge of {fit.ridge:.3g} on a spectrum of one")
        return fit.solved(FLOAT64)


_NUMBERS = _Float64()
