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

__all__ = ["exact_features", "solve_features"]


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
    equation = RandomFeaturesEquation(measure, a, b, lam, solve_effective_ridge)
    found = find_root(equation, epsilon)
    y = found.checked("the ridge of the features", "report this spectrum", T=T, m=m, lam=lam)
    kappa, unexplained, spread = equation.at(y)
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
