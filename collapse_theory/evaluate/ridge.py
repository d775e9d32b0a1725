r"""The effective ridge in float64: batches of roots of :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T`.

The left side minus the right is convex in :math:`\kappa`, so Newton's iteration from the upper end of the bracket
:math:`(\lambda,\lambda+\operatorname{tr}\Sigma/T]` descends monotonically to the root. Where :math:`\mathrm{df}_1>d/2`
the residual is written in complement form, :math:`T-\mathrm{df}_1=(T-d)+\kappa\sum_j1/(s_j+\kappa)`, which does not cancel;
where a gap in the spectrum sits at the T-th direction, only the directions above it are complemented.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse_theory.describe.numbers import real
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.errors import ConvergenceError, DomainError
from collapse_theory.evaluate.arrays import broadcast_shape, float64_array
from collapse_theory.evaluate.measure import Measure

__all__ = ["degrees_of_freedom", "effective_ridge", "residual_degrees", "solve_effective_ridge"]

_ITERATIONS = 2400  # Newton at least halves its distance: this covers the exponents of float64
_BLOCK = 1 << 15  # entries of a (batch, node) array worked on at a time: a few of them fit the cache
_ROUND_OFF = 4 * np.finfo(float).eps
_CANCELLED = 1e-3  # share of the rows below which T - df1 is computed without the digits that cancel


def effective_ridge(spectrum: Spectrum, *, T: Any, lam: Any) -> Any:
    r"""Return the effective ridge :math:`\kappa`, the root of :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T`.

    At ``lam = 0`` it is the limit: 0 for ``T >= rank``, the root of ``df1(kappa) = T`` below.

    Args:
        spectrum: Eigenvalues of the covariance.
        T: Number of rows, positive; scalar or array.
        lam: Ridge on the mean squared error, >= 0; scalar or array, broadcast against ``T``.

    Returns:
        float, or float64 array of the broadcast shape; relative error a few units of round-off.

    Raises:
        DomainError: If an argument is out of range.
        ConvergenceError: If the iteration does not settle (the message has the residual).

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> round(effective_ridge(Isotropic(50), T=100, lam=0.5), 12)
    0.707106781187
    """
    T, lam = _range(T, "T", strict=True), _range(lam, "lam", strict=False)
    shape = broadcast_shape({"T": T, "lam": lam})
    if not isinstance(spectrum, Spectrum):
        raise DomainError(f"spectrum needs to be a spectrum, got {spectrum!r}; write ct.Eigenvalues(values)")
    kappa = solve_effective_ridge(Measure.of(spectrum), *(np.broadcast_to(x, shape).ravel() for x in (T, lam)))
    return float(kappa[0]) if shape == () else kappa.reshape(shape)


def degrees_of_freedom(spectrum: Spectrum, kappa: Any, order: int = 1) -> Any:
    r"""Return :math:`\mathrm{df}_m(\kappa)=\sum_j\big(s_j/(s_j+\kappa)\big)^m`.

    Args:
        spectrum: Eigenvalues of the covariance.
        kappa: Effective ridge, >= 0; scalar or array.
        order: The power ``m``, a positive integer.

    Raises:
        DomainError: If an argument is out of range.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> degrees_of_freedom(Isotropic(8), 1.0, order=2)
    2.0
    """
    power = real(order, "order", positive=True, integer=True)
    x = _range(kappa, "kappa", strict=False)
    if not isinstance(spectrum, Spectrum):
        raise DomainError(f"spectrum needs to be a spectrum, got {spectrum!r}; write ct.Eigenvalues(values)")
    measure = Measure.of(spectrum)
    flat = x.reshape(-1, 1)
    step = max(1, _BLOCK // measure.nodes.size)
    out = np.concatenate([
        (measure.nodes / (measure.nodes + flat[i : i + step])) ** int(power) @ measure.counts
        for i in range(0, len(flat), step)
    ] or [np.empty(0)])  # fmt: skip
    return float(out[0]) if x.shape == () else out.reshape(x.shape)


def solve_effective_ridge(measure: Measure, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return the effective ridge for paired float64 arrays ``T > 0`` and ``lam >= 0`` of shape (n,)."""
    out = np.empty(T.shape)
    step = max(1, _BLOCK // measure.nodes.size)
    for i in range(0, T.size, step):
        out[i : i + step] = _newton(measure, T[i : i + step], lam[i : i + step])
    return out


def residual_degrees(measure: Measure, T: np.ndarray, lam: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """Return ``T - df2(kappa)`` in complement form at a solved ``kappa``; exactly 0 at ``T = rank``, ``lam = 0``."""
    top = float(measure.nodes.max())
    s = measure.nodes / top
    mass = s * measure.counts
    flat = np.reshape(kappa, (-1, 1))
    out = np.empty(len(flat))
    step = max(1, _BLOCK // measure.nodes.size)
    for i in range(0, len(flat), step):
        k = flat[i : i + step] / top
        out[i : i + step] = k[:, 0] * (np.square(np.reciprocal(s + k)) @ mass)
    with np.errstate(invalid="ignore", divide="ignore"):
        unexplained = np.where(kappa > 0, T * (lam / kappa), T - measure.rank)
    return np.where(kappa > 0, unexplained + out.reshape(np.shape(kappa)), unexplained)


def upper_end(T: Any, lam: Any, top: Any, mass: Any, rank: int, sqrt: Any, minimum: Any = min) -> Any:
    r"""Return an upper bound of the effective ridge, where Newton's iteration starts.

    :math:`\lambda+\operatorname{tr}\Sigma/T` always; where :math:`T\ge\operatorname{rank}` also the root of
    :math:`\operatorname{rank}\kappa^2=T\lambda(s_1+\kappa)`, which is of the right order down to a vanishing ridge.

    Args:
        T: Rows.
        lam: Ridge.
        top: Largest eigenvalue.
        mass: Trace of the covariance.
        rank: Number of positive eigenvalues.
        sqrt: Square root of the arithmetic.
        minimum: Minimum of the arithmetic.
    """
    over = rank > T
    plain, b = lam + mass / T, T * lam / rank
    near_threshold = (b + sqrt(b) * sqrt(b + 4 * top)) / 2 * (1 + 1e-9)
    return minimum(plain, near_threshold + over * plain)


def _newton(measure: Measure, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    top = float(measure.nodes.max())  # the equation is homogeneous: work at unit scale, whatever the user's
    s, counts, rank = measure.nodes / top, measure.counts.astype(float), measure.rank
    mass = s * counts
    scaled = lam / top
    start = upper_end(T, scaled, 1.0, mass.sum(), rank, np.sqrt, np.minimum)
    kappa = np.where((scaled == 0) & (rank <= T), 0.0, start)
    live = np.flatnonzero(kappa > 0)
    gap = np.zeros(0)
    for _ in range(_ITERATIONS):
        if live.size == 0:
            return np.asarray(kappa * top)
        x, t, ridge = kappa[live], T[live], scaled[live]
        inverse = np.reciprocal(s + x[:, None])
        df1 = inverse @ mass
        unexplained = np.where(df1 > rank / 2, (t - rank) + x * (inverse @ counts), t - df1)
        lost = np.flatnonzero(np.abs(unexplained) < _CANCELLED * t)
        if lost.size:
            unexplained[lost] = _split_unexplained(s, counts, t[lost], x[lost])
        np.square(inverse, out=inverse)
        slope = unexplained + x * (inverse @ mass)
        following = x - (x * unexplained - t * ridge) / slope
        # Below the bracket only by round-off, or where the root is beyond float64's reach.
        following = np.maximum(following, ridge)
        gap = np.abs(following - x) / np.where(following > 0, following, 1.0)
        kappa[live] = following
        live = live[(gap > _ROUND_OFF) & (following < x)]
    raise ConvergenceError(
        f"effective ridge did not settle in {_ITERATIONS} Newton steps at T={T[live[0]]!r}, lam={lam[live[0]]!r} "
        f"(relative step {gap.max():.1e}); report this spectrum"
    )


def _split_unexplained(s: np.ndarray, counts: np.ndarray, T: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``T - df1(x)`` where it is far below T because a gap in the spectrum leaves T directions above ``x``.

    The directions above count whole, and only what the ridge takes from them and leaves of the others is summed:
    ``T - #{s > x} + sum_{s > x} x/(s + x) - sum_{s <= x} s/(s + x)``.
    """
    out = np.empty(x.shape)
    for i, (t, y) in enumerate(zip(T, x, strict=True)):
        above = s > y
        part = np.minimum(s, y) / (s + y) * counts
        out[i] = (t - counts[above].sum()) + (part[above].sum() - part[~above].sum())
    return out


def _range(value: Any, name: str, *, strict: bool) -> np.ndarray:
    x = float64_array(name, value)
    bad = ~np.isfinite(x) | ((x <= 0) if strict else (x < 0))
    if bad.any():
        raise DomainError(
            f"{name} needs to be finite and {'> 0' if strict else '>= 0'}, got {x[bad].flat[0]!r}; change {name}"
        )
    return x
