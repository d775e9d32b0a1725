"""The effective ridges of the fits of a pipeline, from the values of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sympy import Expr

from collapse_theory.core.errors import ConvergenceError, DomainError
from collapse_theory.derive.cavity import OwnFit
from collapse_theory.derive.pooled import PooledFit
from collapse_theory.numerics.complements import SolvedFit
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.reals import FLOAT64, Reals
from collapse_theory.numerics.resolvents import Resolvent, solve_resolvent

__all__ = ["FitNumbers", "float64_start", "solved_fit"]


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
            number[f.ridge],
        )

    def solved(self, reals: Reals, start: np.ndarray | None = None) -> Resolvent:
        """Return the effective ridges, see :func:`.solve_resolvent`."""
        return solve_resolvent(
            self.s, self.measure, self.weights, self.rows, self.total_rows, self.ridge, reals, start=start
        )


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
    f: PooledFit, found: Resolvent, number: Mapping[Expr, Any], s: Mapping[str, np.ndarray], reals: Reals
) -> SolvedFit:
    """Return a fit as the equations between fits need it; ``s`` are the eigenvalues by covariance."""
    opened = found.opened
    uniform = bool(opened.directions.all() or not opened.directions.any())
    mass = reals.array([number[x.weight] * number[x.T] / number[f.N] for x in f.designs])
    response = 1 / found.scale
    own = OwnFit(
        found.error,
        found.error * found.penalty,
        [response[n : n + 1] for n in range(len(f.designs))],
        [1 if uniform or not is_open else found.penalty for is_open in opened.designs],
    )
    return SolvedFit(own, uniform, s, mass / found.scale, found.constant / found.scale)
