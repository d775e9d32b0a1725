r"""The two effective ridges of a fit on random features.

Rows and features enter :math:`\lambda=\kappa(1-\mathrm{df}_1/T)(1-\mathrm{df}_1/m)` alike, so the fewer of them, a, are taken
first: :math:`\kappa` is the effective ridge of a rows at :math:`y=\kappa(1-\mathrm{df}_1/a)`, and y solves
:math:`y(b-\mathrm{df}_1)=b\lambda` with b the more of them. There :math:`b-\mathrm{df}_1=(b-a)+ay/\kappa`
does not cancel, the left side is convex in y, and Newton's iteration descends from above.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.effective_ridge import solve_effective_ridge
from collapse_theory.numerics.exact_ridge import exact_ridge
from collapse_theory.numerics.measure import Measure

__all__ = ["exact_features", "solve_features"]

_ITERATIONS = 200
_ROUND_OFF = 4 * np.finfo(float).eps


def solve_features(measure: Measure, T: np.ndarray, m: np.ndarray, lam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' effective ridge and the residual degrees of freedom of the fit on them.

    Without a ridge they are limits; the residual degrees are 0 at the interpolation threshold (``m = T`` below the rank, or
    ``T`` the rank and no more than ``m``).

    Args:
        measure: Nodes and weights.
        T: Numbers of rows, shape (n,).
        m: Numbers of features, shape (n,).
        lam: Ridges, >= 0, shape (n,).

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    a, b = np.minimum(T, m), np.maximum(T, m)
    mass = float(measure.nodes @ measure.counts)
    largest = lam + mass / a + mass / b
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.fmin(np.minimum(lam + mass / b, np.sqrt(lam) * np.sqrt(b / a * largest)), lam * b / (b - a))
    live = np.flatnonzero(y > 0)
    for _ in range(_ITERATIONS):
        if live.size == 0:
            break
        x, few, many = y[live], a[live], b[live]
        left, unexplained, slope, _ = _state(measure, few, x)
        rest = (many - few) + unexplained
        following = x - (x * rest - many * lam[live]) / (rest + x * few * slope / left)
        following = np.maximum(following, lam[live])
        gap = np.abs(following - x) / following
        y[live] = following
        live = live[(gap > _ROUND_OFF) & (following < x)]
    else:
        raise ConvergenceError(
            f"the ridge of the features did not settle in {_ITERATIONS} Newton steps at T={T[live[0]]!r}, "
            f"m={m[live[0]]!r}, lam={lam[live[0]]!r}; report this spectrum"
        )
    _, unexplained, slope, kappa = _state(measure, a, y)
    return _finished(T, m, a, y, kappa, unexplained, slope, np.where)


def _state(measure: Measure, a: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return ``a - df2``, ``a - df1``, ``tr Sigma (Sigma + kappa)^-2`` and kappa at the effective ridge of a rows."""
    kappa = solve_effective_ridge(measure, a, y)
    s = measure.nodes
    slope = np.square(np.reciprocal(s + kappa[:, None])) @ (s * measure.counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        unexplained = np.where(kappa > 0, a * (y / kappa), a - measure.rank)
    return unexplained + kappa * slope, unexplained, slope, kappa


def _finished(T: Any, m: Any, a: Any, y: Any, kappa: Any, unexplained: Any, slope: Any, where: Any) -> tuple[Any, Any]:
    """Return the features' ridge and the residual degrees from the solved pair; every term is positive."""
    features = (m - a) + unexplained  # m - df1
    ridge = where(m <= T, y, kappa * (features / m))
    residual = features + kappa * slope
    share = where(kappa > 0, kappa * features / where(residual > 0, residual, 1), 0 * kappa)
    return ridge, (T - a) + unexplained + share * slope


def exact_features(mp: Any, measure: Measure, T: Any, m: Any, lam: Any) -> tuple[Any, Any]:
    """Return the same in the mpmath context ``mp``.

    Args:
        mp: The context.
        measure: Nodes and weights in that context.
        T: Number of rows.
        m: Number of features.
        lam: Ridge.

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    T, m = mp.mpf(T), mp.mpf(m)
    a, b = min(T, m), max(T, m)
    s, counts = measure.nodes, measure.counts
    mass = mp.fsum(s * counts)
    bounds = [lam + mass / b, mp.sqrt(lam * b / a * (lam + mass / a + mass / b))]
    y = min(bounds + ([lam * b / (b - a)] if b > a else []))

    def state(x: Any) -> tuple[Any, Any, Any]:
        kappa, _ = exact_ridge(mp, measure, a, x)
        return kappa, a * x / kappa if kappa > 0 else a - measure.rank, mp.fsum(s * counts / (s + kappa) ** 2)

    tolerance = mp.mpf(2) ** (8 - mp.prec)
    for _ in range(_ITERATIONS):
        if y == 0:
            break
        kappa, unexplained, slope = state(y)
        rest = (b - a) + unexplained
        following = max(y - (y * rest - b * lam) / (rest + y * a * slope / (unexplained + kappa * slope)), lam)
        step, y = abs(following - y), following
        if step <= tolerance * y:
            break
    else:
        raise ConvergenceError(f"the ridge of the features did not settle at T={T}, m={m}, lam={lam}")
    kappa, unexplained, slope = state(y)
    return _finished(T, m, a, y, kappa, unexplained, slope, lambda test, yes, no: yes if test else no)
