r"""The two effective ridges of a fit on random features.

Rows and features enter :math:`\lambda=\kappa(1-\mathrm{df}_1/T)(1-\mathrm{df}_1/m)` alike, so the fewer of them, a, are taken
first: :math:`\kappa` is the effective ridge of a rows at :math:`y=\kappa(1-\mathrm{df}_1/a)`, and y solves
:class:`.RandomFeaturesEquation`, in which b is the more of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse_theory.numerics.effective_ridge import solve_effective_ridge, spacing
from collapse_theory.numerics.equations import RandomFeaturesEquation
from collapse_theory.numerics.measure import Measure
from collapse_theory.numerics.newton import FLOAT64, find_root
from collapse_theory.numerics.octaves import RowsOnFeatures

__all__ = ["exact_features", "solve_features"]

_LARGE, _MOST = 2.0**700, 2.0**60  # ridges and nodes at unit scale, and rows, whose products stay normal


def solve_features(
    measure: Measure, T: np.ndarray, m: np.ndarray, lam: np.ndarray, epsilon: Any = FLOAT64
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' effective ridge and the residual degrees of freedom of the fit on them.

    Without a ridge they are limits; the residual degrees are 0 at the interpolation threshold (``m = T`` below the rank, or
    ``T`` the rank and no more than ``m``).

    Args:
        measure: Eigenvalues and directions.
        T: Numbers of rows, shape (n,).
        m: Numbers of features, shape (n,).
        lam: Ridges, >= 0, shape (n,).
        epsilon: Relative spacing of the numbers.

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    a, b = np.minimum(T, m), np.maximum(T, m)
    if measure.nodes.dtype != object:
        read = _from_tables(measure, a, b, lam)
        if read is not None:
            return _both(a, T, m, *read)
    equation = RandomFeaturesEquation(measure, a, b, lam, solve_effective_ridge)
    found = find_root(equation, epsilon)
    y = found.checked("the ridge of the features", "report this spectrum", T=T, m=m, lam=lam)
    return _both(a, T, m, y, *equation.at(y))


def _from_tables(measure: Measure, a: np.ndarray, b: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, ...] | None:
    """Return y, kappa, a - df1 and the sum of s/(s + kappa)^2; None where float64 has not the exponents, or a root is not found."""
    unit, exponent = measure.unit
    with np.errstate(over="ignore", under="ignore"):
        ridge = np.ldexp(lam, -exponent)
    held = ((lam == 0) | ((ridge > 1 / _LARGE) & (ridge < _LARGE))) & (a > 1 / _MOST) & (b < _MOST)
    if not held.all() or unit.nodes.min() < 1 / _LARGE:
        return None
    kappa, open_ = np.zeros(a.shape), np.flatnonzero((lam > 0) | (a < unit.total))
    unexplained = np.where(lam > 0, 0, np.maximum(a - unit.total, 0.0))
    spread = np.zeros(a.shape) if open_.size == a.size else np.full(a.shape, measure.trace(1 / measure.nodes))
    if open_.size:
        given = RowsOnFeatures(a[open_], b[open_], ridge[open_])
        with np.errstate(under="ignore"):  # a ratio too small for float64 is a share of nothing
            found = unit.octaves.solve(given)
            if np.isnan(found).any():
                return None
            spread[open_] = unit.octaves.spread(found)
        kappa[open_] = np.ldexp(found, exponent)
        spread[open_] /= kappa[open_]
        unexplained[open_] = given.share(found)[0]
    measure.check_depth(kappa=kappa)
    return kappa * (unexplained / a), kappa, unexplained, spread


def _both(
    a: np.ndarray,
    T: np.ndarray,
    m: np.ndarray,
    y: np.ndarray,
    kappa: np.ndarray,
    unexplained: np.ndarray,
    spread: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' effective ridge and the residual degrees from the solved equation."""
    features = (m - a) + unexplained  # m - df1; every term is positive
    residual = features + kappa * spread
    share = np.where(kappa > 0, kappa * features / np.where(residual > 0, residual, 1), 0 * kappa)
    return np.where(m <= T, y, kappa * (features / m)), (T - a) + unexplained + share * spread


def exact_features(mp: Any, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
    """Return the same for one problem in the mpmath context ``mp``, in whose numbers the measure is.

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    rows, features, lam = (np.array([mp.mpf(x)], dtype=object) for x in (T, m, lam))
    ridge, residual = solve_features(measure, rows, features, lam, spacing(mp))
    return ridge[0], residual[0]
