r"""The effective ridge in float64 batches and in mpmath.

The equation and the inequalities behind its start are in :class:`.EffectiveRidgeEquation`. It is homogeneous; in float64 it is
solved at unit scale, reached by a power of two, and what the exponents of float64 do not hold at that scale is solved in mpmath.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from collapse_theory.core.errors import DomainError, shown
from collapse_theory.core.numbers import real
from collapse_theory.core.precision import exact_context
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.numerics.arrays import broadcast_shape, float64_array
from collapse_theory.numerics.equations import EffectiveRidgeEquation
from collapse_theory.numerics.measure import Measure, TooShallow, at_depth
from collapse_theory.numerics.newton import FLOAT64, find_root
from collapse_theory.numerics.octaves import Rows

__all__ = [
    "MANY",
    "degrees_of_freedom",
    "effective_ridge",
    "exact_ridge",
    "residual_degrees",
    "solve_effective_ridge",
    "spacing",
]

_BLOCK = 1 << 15  # entries of a (batch, node) array worked on at a time: a few of them fit the cache
_SMALLEST, _LARGEST = 2.0**-900, 2.0**900  # ridges and nodes at unit scale whose products with the rows stay normal
_ROWS = 2.0**100
_EXTENDED_BITS = 120
MANY = 128
"""Points beyond which the tables of a measure are worth what they cost."""


def effective_ridge(spectrum: Spectrum, *, T: Any, lam: Any) -> Any:
    r"""Return the effective ridge :math:`\kappa`, the root of :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T`.

    At ``lam = 0`` it is the limit: 0 for ``T >= rank``, the root of ``df1(kappa) = T`` below.

    Args:
        spectrum: Eigenvalues of the covariance.
        T: Number of rows, positive; scalar or array.
        lam: Ridge on the mean squared error, >= 0; scalar or array, broadcast against ``T``.

    Returns:
        float, or float64 array of the broadcast shape. The relative error is at most 8 units of round-off (1.8e-15), of more than
        128 points 24 (5.3e-15), for all arguments of float64: any condition number, scale, number of rows and ridge, down to the
        smallest subnormal one.

    Raises:
        DomainError: If an argument is out of range, or the effective ridge overflows (``T`` near 0).
        ConvergenceError: If the iteration does not settle (the message has the residual).

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> round(effective_ridge(Isotropic(50), T=100, lam=0.5), 12)
    0.707106781187
    """
    T, lam = _range(T, "T", strict=True), _range(lam, "lam", strict=False)
    shape = broadcast_shape({"T": T, "lam": lam})
    if not isinstance(spectrum, Spectrum):
        raise DomainError(f"spectrum needs to be a spectrum, got {shown(spectrum)}; write ct.Eigenvalues(values)")
    rows, ridges = (np.broadcast_to(x, shape).ravel() for x in (T, lam))
    try:
        kappa = at_depth(lambda depth: solve_effective_ridge(Measure.of(spectrum, octaves=depth), rows, ridges))
    except TooShallow:  # for float64
        kappa = _beyond_float64(spectrum, solve_effective_ridge, rows, ridges)
    bad = np.flatnonzero(np.isinf(kappa))
    if bad.size:
        at = {name: float(np.broadcast_to(x, shape).flat[bad[0]]) for name, x in (("T", T), ("lam", lam))}
        raise DomainError(
            f"effective ridge needs to fit float64, got more than 1.8e308 at T={at['T']!r}, lam={at['lam']!r}; "
            "rescale the spectrum and the ridge together"
        )
    return float(kappa[0]) if shape == () else kappa.reshape(shape)


def degrees_of_freedom(spectrum: Spectrum, kappa: Any, order: int = 1) -> Any:
    r"""Return :math:`\mathrm{df}_k(\kappa)=\sum_j\big(s_j/(s_j+\kappa)\big)^k`.

    Args:
        spectrum: Eigenvalues of the covariance.
        kappa: Effective ridge, >= 0; scalar or array.
        order: The power ``k``, a positive integer.

    Returns:
        float, or float64 array of the shape of ``kappa``; infinite without a ridge where the spectrum is endless.

    Raises:
        DomainError: If an argument is out of range.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> degrees_of_freedom(Isotropic(8), 1.0, order=2)
    2.0
    """
    power = real(order, "order", positive=True, integer=True, number=True)
    x = _range(kappa, "kappa", strict=False)
    if not isinstance(spectrum, Spectrum):
        raise DomainError(f"spectrum needs to be a spectrum, got {shown(spectrum)}; write ct.Eigenvalues(values)")
    flat = x.ravel()
    out = np.full(flat.shape, np.inf)
    finite = (flat > 0) | (spectrum.rank < np.inf)
    try:
        out[finite] = at_depth(lambda depth: _degrees(Measure.of(spectrum, octaves=depth), flat[finite], int(power)))
    except TooShallow:  # for float64
        out[finite] = _beyond_float64(spectrum, lambda measure, x: _degrees(measure, x, int(power)), flat[finite])
    return float(out[0]) if x.shape == () else out.reshape(x.shape)


def _degrees(measure: Measure, kappa: np.ndarray, order: int) -> np.ndarray:
    """Return the degrees of freedom at effective ridges of shape (n,), in the numbers of the measure."""
    measure.check_depth(kappa=kappa)
    share = _share_power if measure.nodes.dtype != object else lambda s, x, k: (s / (s + x)) ** k
    out, flat = np.empty(kappa.shape, dtype=measure.nodes.dtype), kappa.reshape(-1, 1)
    step = max(1, _BLOCK // measure.size)
    for i in range(0, len(flat), step):
        out[i : i + step] = measure.trace(share(measure.nodes, flat[i : i + step], order))
    return out


def _beyond_float64(spectrum: Spectrum, compute: Any, *arguments: np.ndarray) -> np.ndarray:
    """Return what is computed on the measure of an endless spectrum in more digits and at any depth, rounded."""
    with exact_context(_EXTENDED_BITS) as mp:
        numbers = [np.vectorize(mp.mpf, otypes=[object])(a) for a in arguments]
        found = at_depth(lambda depth: compute(Measure.exact(spectrum, None, mp, octaves=depth), *numbers))
        return np.array([float(x) for x in found])


def solve_effective_ridge(measure: Measure, T: np.ndarray, lam: np.ndarray, *, rough: bool = False) -> np.ndarray:
    r"""Return the effective ridge for paired arrays ``T > 0`` and ``lam >= 0`` of shape (n,), in the numbers of the measure.

    In float64 it is infinite where it overflows. The relative error of a ``rough`` one is at most the square of the last step,
    :math:`6\cdot10^{-8}`, because :math:`\kappa f''\le2f'` term by term, and the round-off of plain sums.

    Raises:
        ConvergenceError: If the iteration does not settle.
        TooShallow: If the measure of an endless spectrum does not resolve a root.
    """
    kappa = _solved(measure, T, lam, rough=rough)
    measure.check_depth(kappa=kappa)
    return kappa


def _solved(measure: Measure, T: np.ndarray, lam: np.ndarray, *, rough: bool = False) -> np.ndarray:
    """Return the roots on the nodes, whether or not these resolve them."""
    if measure.nodes.dtype == object:
        return _root(measure, T, lam, spacing(measure.nodes[0].context))
    unit, exponent = measure.unit
    with np.errstate(over="ignore", under="ignore"):
        ridge = np.ldexp(lam, -exponent)
    held = (T > 1 / _ROWS) & (T < _ROWS) & ((lam == 0) | ((ridge > _SMALLEST) & (ridge < _LARGEST)))
    held &= bool(unit.nodes.min() > _SMALLEST)
    out = np.zeros(T.shape)
    open_, outside = np.flatnonzero(held & ((lam > 0) | (unit.total > T))), np.flatnonzero(~held)
    if open_.size:
        with np.errstate(over="ignore", under="ignore"):
            out[open_] = np.ldexp(_at_unit_scale(unit, T[open_], ridge[open_], rough=rough), exponent)
    if outside.size:
        out[outside] = _extended(measure, T[outside], lam[outside])
    return out


def _at_unit_scale(measure: Measure, T: np.ndarray, lam: np.ndarray, *, rough: bool) -> np.ndarray:
    """Return positive roots: of many points from the tables, of a few by Newton's iteration on the nodes."""
    octaves, given = measure.octaves, Rows(T, lam)
    if T.size <= MANY:
        return _root(measure, T, lam, start=octaves.bound(given), rough=rough)
    out = octaves.solve(given)
    lost = np.flatnonzero(np.isnan(out))
    for i in lost:  # says with what residual
        here = slice(i, i + 1)
        out[here] = _root(measure, T[here], lam[here], start=octaves.bound(given.at(here)))
    return out


def exact_ridge(mp: Any, measure: Measure, T: Any, lam: Any) -> tuple[Any, Any]:
    r"""Return the effective ridge and the residual degrees of freedom :math:`T-\mathrm{df}_2` in an mpmath context.

    Args:
        mp: The context.
        measure: Eigenvalues in that context.
        T: Rows, positive.
        lam: Ridge, >= 0.

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    rows, ridge = (np.array([mp.mpf(x)], dtype=object) for x in (T, lam))
    kappa = solve_effective_ridge(measure, rows, ridge)
    return kappa[0], residual_degrees(measure, rows, ridge, kappa)[0]


def residual_degrees(measure: Measure, T: np.ndarray, lam: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    r"""Return :math:`T-\mathrm{df}_2=T\lambda/\kappa+\sum_js_j\kappa/(s_j+\kappa)^2` at solved effective ridges of shape (n,).

    Every term is positive. At :math:`\kappa=0` it is :math:`T-\operatorname{rank}`, exactly 0 at an interpolation threshold.
    """
    positive = kappa > 0
    safe = np.where(positive, kappa, 1)
    if measure.nodes.dtype != object:
        measure, whole = measure.compressed, measure
    if kappa.size > MANY and measure.nodes.dtype != object:
        unit, exponent = whole.unit
        with np.errstate(over="ignore", under="ignore"):
            scaled = np.ldexp(safe, -exponent)
            if ((scaled > _SMALLEST) & (scaled < _LARGEST)).all() and unit.nodes.min() > _SMALLEST:
                return np.where(positive, T * (lam / safe) + unit.octaves.spread(scaled), T - measure.rank)
    s = measure.nodes
    out = np.empty(kappa.shape, dtype=s.dtype)
    step = max(1, _BLOCK // s.size)
    with np.errstate(over="ignore", under="ignore"):
        for i in range(0, len(safe), step):
            x = safe[i : i + step, None]
            share = 1 / (1 + np.maximum(s, x) / np.minimum(s, x))  # min(s, x)/(s + x), of which the sum may overflow
            out[i : i + step] = measure.trace(share * (1 - share))
        return np.where(positive, T * (lam / safe) + out, T - measure.rank)


def spacing(mp: Any) -> Any:
    """Return the relative spacing of the numbers of an mpmath context."""
    return mp.mpf(2) ** (1 - mp.prec)


def _root(
    measure: Measure,
    T: np.ndarray,
    lam: np.ndarray,
    epsilon: Any = FLOAT64,
    *,
    start: np.ndarray | None = None,
    rough: bool = False,
) -> np.ndarray:
    """Return the roots; in float64 at unit scale."""
    found = find_root(EffectiveRidgeEquation.of(measure, T, lam, start), epsilon, rough=rough)
    return np.asarray(
        found.checked("the effective ridge in units of the spectrum", "report this spectrum", T=T, lam=lam)
    )


def _share_power(s: np.ndarray, x: np.ndarray, order: int) -> np.ndarray:
    """Return ``(s/(s + x))**order``; a share near one is powered through its complement, which carries all its digits."""
    with np.errstate(over="ignore", under="ignore"):  # a ratio beyond float64 is a share of one or of nothing
        ratio = x / s
        return np.where(ratio < 1, np.exp(-order * np.log1p(ratio)), np.reciprocal(1 + ratio) ** float(order))


def _extended(measure: Measure, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return the effective ridge where float64 has not the exponents to solve for it, rounded; inf if it overflows."""
    with exact_context(_EXTENDED_BITS) as mp:
        number = np.vectorize(mp.mpf, otypes=[object])
        exact = replace(measure, energies=None).mapped(number)
        return np.array([float(x) for x in _solved(exact, number(T), number(lam))])


def _range(value: Any, name: str, *, strict: bool) -> np.ndarray:
    x = float64_array(name, value)
    bad = ~np.isfinite(x) | ((x <= 0) if strict else (x < 0))
    if bad.any():
        raise DomainError(
            f"{name} needs to be finite and {'> 0' if strict else '>= 0'}, got {x[bad].flat[0]!r}; change {name}"
        )
    return x
