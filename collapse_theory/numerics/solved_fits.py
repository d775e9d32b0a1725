"""The effective ridges of the fits of a pipeline, from the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.derive.pooled import PooledFit
from collapse_theory.numerics.complements import SolvedFit
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import Float64, Reals
from collapse_theory.numerics.resolvents import Resolvent, solve_resolvent

__all__ = ["fit_resolvent", "solved_fit"]


def fit_resolvent(
    f: PooledFit, measure: Measure, number: Mapping[Expr, Any], unit: Any, reals: Reals, nudge: int
) -> Resolvent:
    """Return the effective ridges of a fit.

    Args:
        f: The fit.
        measure: Eigenvalues and directions.
        number: Value of every parameter of the fit.
        unit: What to multiply covariances and ridge with.
        reals: The numbers.
        nudge: See :func:`.solve_resolvent`.

    Raises:
        DomainError: At a threshold without ridge.
        ConvergenceError: If they do not settle, or the ridge is below the normal numbers of float64.
    """
    s = np.stack([measure.at(x.covariance) for x in f.designs]) * unit
    weights = reals.array([number[x.weight] for x in f.designs])
    rows = reals.array([number[x.T] for x in f.designs])
    N, ridge = number[f.N], number[f.ridge] * unit
    if isinstance(reals, Float64) and number[f.ridge] != 0 and np.abs(ridge) < np.finfo(float).tiny:
        raise ConvergenceError(
            f"float64 has too few digits for a ridge of {np.abs(number[f.ridge]):.3g} on a spectrum of {s.max() / unit:.3g}"
        )
    start = None if isinstance(reals, Float64) else _float64_start(measure, s, weights, rows, N, ridge)
    return solve_resolvent(s, measure, weights, rows, N, ridge, reals, start=start, nudge=nudge)


def _float64_start(
    measure: Measure, s: np.ndarray, weights: np.ndarray, rows: np.ndarray, total_rows: Any, ridge: Any
) -> np.ndarray | None:
    """Return the effective ridges in float64, where more digits start; None where float64 has no solution."""
    unit = s.max()
    try:
        with np.errstate(all="ignore"):
            s, weights, rows = (np.asarray(x, dtype=float) for x in (s / unit, weights, rows))
            found = solve_resolvent(s, measure, weights, rows, float(total_rows), float(ridge / unit))
    except (ConvergenceError, DomainError):
        return None
    return found.scale * np.where(found.opened.designs, unit, 0 * unit + 1)


def solved_fit(
    f: PooledFit, found: Sequence[Resolvent], number: Mapping[Expr, Any], s: Mapping[str, np.ndarray], reals: Reals
) -> SolvedFit:
    """Return a fit as the equations between fits need it, at all scales ``found``; ``s`` by covariance."""
    directions = found[0].opened.directions
    mass = reals.array([number[x.weight] * number[x.T] / number[f.N] for x in f.designs])
    return SolvedFit(
        bool(directions.all() or not directions.any()),
        s,
        np.stack([r.error for r in found]),
        np.stack([r.penalty for r in found]),
        np.stack([mass / r.scale for r in found]),
        np.stack([r.constant / r.scale for r in found]),
    )
