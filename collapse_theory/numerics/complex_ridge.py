r"""The effective ridge at a complex ridge :math:`\lambda=-z`: where a contour around the spectrum of a sample covariance needs it.

.. math:: F(\kappa)=\kappa-\lambda-\frac\kappa T\operatorname{tr}\Sigma(\Sigma+\kappa)^{-1}=0,\qquad
   F'(\kappa)=1-\frac1T\operatorname{tr}\Sigma^2(\Sigma+\kappa)^{-2},

has many roots. The one of the equivalent continues that at a positive ridge through the plane without
:math:`[0,\infty)\ni z`, and is the one with

.. math:: \operatorname{tr}\big|\Sigma(\Sigma+\kappa)^{-1}\big|^2<T,

the *physical sheet*. It is reached from the root at :math:`|z|` by turning the ridge towards :math:`-z`, in steps that shrink with
the angle to the spectrum.

The upper edge of the spectrum of :math:`X^\top X/T` is where the sheet ends, :math:`z=-\lambda(\kappa)` at the root of
:math:`\operatorname{tr}\Sigma^2(\Sigma+\kappa)^{-2}=T` below :math:`-\max s`.

Source: Silverstein, Choi, Analysis of the limiting spectral distribution of large dimensional random matrices, Journal of
Multivariate Analysis 1995 (the equation in the plane, and the edges).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError
from collapse_theory.numerics.effective_ridge import solve_effective_ridge
from collapse_theory.numerics.measure import COMMON, Measure

__all__ = ["complex_ridge", "upper_edge"]

_TURNS, _EACH, _LAST = 16, 2, 8  # steps of Newton's iteration: turns, in each of them, and behind the last
_CLOSE = 2.0**-40  # of a residual in float64, relative to the ridge


def complex_ridge(measure: Measure, T: np.ndarray, z: np.ndarray) -> np.ndarray:
    r"""Return the effective ridges :math:`\kappa(z)` on the physical sheet.

    Args:
        measure: Eigenvalues, float64 or numbers of mpmath.
        T: Rows, real, shape (n, 1).
        z: Points off the non-negative axis, shape (n, m).

    Returns:
        Shape (n, m). In float64, NaN where the iteration ends elsewhere.

    Raises:
        ConvergenceError: If numbers of mpmath do not settle.

    >>> T, z = np.array([[2.0]]), np.array([[-0.5 + 0j]])
    >>> float(complex_ridge(Measure({COMMON: np.ones(1)}, np.array([1])), T, z)[0, 0].real.round(12))
    0.707106781187
    """
    if measure.nodes.dtype == object:
        return _in_digits(measure, T, z)
    z = np.where(np.isfinite(abs(z)), z, np.nan)
    known = np.isfinite(z)
    if not known.all():  # a contour beyond float64
        return np.where(known, complex_ridge(measure, T, np.where(known, z, -1)), np.nan)
    turned, newton = np.angle(z) / np.pi, _newton(measure, T)
    kappa = solve_effective_ridge(measure, np.broadcast_to(T, z.shape).ravel(), np.abs(z).ravel()).reshape(z.shape) + 0j
    for i in range(1, _TURNS + 1):
        sign = np.sign(turned)
        ridge = -np.abs(z) * np.exp(1j * np.pi * sign * np.abs(turned) ** (i / _TURNS))
        for _ in range(_EACH):
            kappa = kappa - newton(kappa, ridge)[0]
    for _ in range(_LAST):
        kappa = kappa - newton(kappa, -z)[0]
    _, residual, explained = newton(kappa, -z)
    return np.where((explained < T) & (residual <= _CLOSE * (abs(kappa) + abs(z))), kappa, np.nan)


def _newton(measure: Measure, T: Any) -> Callable[[Any, Any], tuple[Any, Any, Any]]:
    def step(kappa: Any, ridge: Any) -> tuple[Any, Any, Any]:
        """Return the step, the size of the residual, and what the points explain of the rows."""
        share = measure.nodes / (measure.nodes + kappa[..., None])
        gap = kappa - ridge - kappa * measure.trace(share, rough=True) / T
        return gap / (1 - measure.trace(share**2, rough=True) / T), abs(gap), measure.trace(abs(share) ** 2, rough=True)

    return step


def _in_digits(measure: Measure, T: Any, z: np.ndarray) -> np.ndarray:
    """Return the roots in numbers of mpmath, from those of float64, in units of the largest eigenvalue."""
    unit, mp = max(measure.nodes), measure.nodes[0].context
    counts = measure.counts if measure.counts.dtype != object else measure.counts.astype(float)
    plain = Measure({COMMON: (measure.nodes / unit).astype(float)}, counts)
    with np.errstate(all="ignore"):
        start = complex_ridge(plain, np.asarray(T, dtype=float), np.asarray(z / unit, dtype=complex))
    start = np.where(np.isfinite(start), start, 0)
    number = np.vectorize(mp.mpc, otypes=[object])
    kappa, newton = np.where(start == 0, -z, number(start) * unit), _newton(measure, T)  # far away the ridge is all
    near = mp.mpf(2) ** (8 - mp.prec)
    for _ in range(int(mp.prec).bit_length() + 2):
        change, _, explained = newton(kappa, -z)
        kappa = kappa - change
        if all(abs(x) <= near * abs(y) for x, y in zip(change.flat, kappa.flat, strict=True)):
            break
    else:
        raise ConvergenceError(
            f"complex effective ridges do not settle at {mp.prec} bits; rescale the spectrum and the time"
        )
    if not np.all(explained < T):
        raise ConvergenceError("complex effective ridges left the physical sheet; rescale the spectrum and the time")
    return np.asarray(kappa)


def upper_edge(measure: Measure, T: np.ndarray) -> np.ndarray:
    r"""Return the upper edge of the spectrum of a sample covariance :math:`X^\top X/T`, in the limit.

    Args:
        measure: Eigenvalues.
        T: Rows, shape (n, 1).

    Returns:
        float64, shape (n, 1).

    >>> float(upper_edge(Measure({COMMON: np.ones(4)}, np.ones(4)), np.array([[16.0]]))[0, 0].round(12))  # (1 + 1/2)^2
    2.25
    """
    s, counts, rows = (np.asarray(x, dtype=float) for x in (measure.nodes, measure.counts, T))
    unit = s.max()
    s = s / unit
    low, high = np.ones(rows.shape), 1 + np.sqrt((s * s) @ counts / rows)
    for _ in range(60):
        u = (low + high) / 2
        beyond = ((s / (u - s)) ** 2 @ counts)[..., None] > rows
        low, high = np.where(beyond, u, low), np.where(beyond, high, u)
    return np.asarray(unit * high * (1 + ((s / (high - s)) @ counts)[..., None] / rows))
