r"""The effective ridge in float64: batches of roots of :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T`.

The left side minus the right is convex in :math:`\kappa`, so Newton's iteration from the upper end of the bracket
:math:`(\lambda,\lambda+\operatorname{tr}\Sigma/T]` descends monotonically to the root. The residual is written with the complement
that follows :math:`\kappa`: the N directions above it count whole, and what the ridge takes from them is small,

.. math:: T-\mathrm{df}_1=(T-N)+\sum_{s_j\ge\kappa}\frac{\kappa}{s_j+\kappa}-\sum_{s_j<\kappa}\frac{s_j}{s_j+\kappa}.

Its round-off is at most a few units of :math:`T-\mathrm{df}_2`, the slope of the equation, because each term of the two sums is
at most twice its share :math:`s_j\kappa/(s_j+\kappa)^2` of the slope: so :math:`\kappa` itself is good to a few units, whatever the
spectrum, at T = d, in a gap and without a ridge alike. The equation is homogeneous and is solved at unit scale, reached by a
power of two; what the exponents of float64 do not hold at that scale is solved in mpmath.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from collapse_theory.core.errors import ConvergenceError, DomainError, shown
from collapse_theory.core.numbers import real
from collapse_theory.core.precision import exact_context
from collapse_theory.describe.spectra import Spectrum
from collapse_theory.numerics.arrays import broadcast_shape, float64_array
from collapse_theory.numerics.exact_ridge import exact_ridge, upper_end
from collapse_theory.numerics.measure import COMMON, Measure

__all__ = ["degrees_of_freedom", "effective_ridge", "residual_degrees", "solve_effective_ridge"]

_ITERATIONS = 2400  # Newton at least halves its distance: this covers the exponents of float64
_BLOCK = 1 << 15  # entries of a (batch, node) array worked on at a time: a few of them fit the cache
_ROUND_OFF = 4 * np.finfo(float).eps
_SMALLEST, _LARGEST = 2.0**-900, 2.0**900  # ridges and nodes at unit scale whose products with the rows stay normal
_ROWS = 2.0**100
_EXTENDED_BITS = 120


def effective_ridge(spectrum: Spectrum, *, T: Any, lam: Any) -> Any:
    r"""Return the effective ridge :math:`\kappa`, the root of :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T`.

    At ``lam = 0`` it is the limit: 0 for ``T >= rank``, the root of ``df1(kappa) = T`` below.

    Args:
        spectrum: Eigenvalues of the covariance.
        T: Number of rows, positive; scalar or array.
        lam: Ridge on the mean squared error, >= 0; scalar or array, broadcast against ``T``.

    Returns:
        float, or float64 array of the broadcast shape. The relative error is at most 8 units of round-off (1.8e-15) for all
        arguments of float64: any condition number, scale, number of rows and ridge, down to the smallest subnormal one.

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
    kappa = solve_effective_ridge(Measure.of(spectrum), *(np.broadcast_to(x, shape).ravel() for x in (T, lam)))
    bad = np.flatnonzero(np.isinf(kappa))
    if bad.size:
        at = {name: float(np.broadcast_to(x, shape).flat[bad[0]]) for name, x in (("T", T), ("lam", lam))}
        raise DomainError(
            f"effective ridge needs to fit float64, got more than 1.8e308 at T={at['T']!r}, lam={at['lam']!r}; "
            "rescale the spectrum and the ridge together"
        )
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
    power = real(order, "order", positive=True, integer=True, number=True)
    x = _range(kappa, "kappa", strict=False)
    if not isinstance(spectrum, Spectrum):
        raise DomainError(f"spectrum needs to be a spectrum, got {shown(spectrum)}; write ct.Eigenvalues(values)")
    measure = Measure.of(spectrum)
    flat = x.reshape(-1, 1)
    step = max(1, _BLOCK // measure.nodes.size)
    out = np.concatenate([
        (_share_power(measure.nodes, flat[i : i + step], int(power)) * measure.counts).sum(axis=-1)
        for i in range(0, len(flat), step)
    ] or [np.empty(0)])  # fmt: skip
    return float(out[0]) if x.shape == () else out.reshape(x.shape)


def solve_effective_ridge(measure: Measure, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return the effective ridge for paired float64 arrays ``T > 0`` and ``lam >= 0`` of shape (n,); inf if it overflows.

    Raises:
        ConvergenceError: If the iteration does not settle.
    """
    out = np.empty(T.shape)
    step = max(1, _BLOCK // measure.nodes.size)
    order = np.argsort(measure.nodes)
    s, exponent = _unit_scale(measure.nodes[order])
    counts = measure.counts[order].astype(float)
    with np.errstate(over="ignore", under="ignore"):
        ridge = np.ldexp(lam, -exponent)
    held = (T > 1 / _ROWS) & (T < _ROWS) & ((lam == 0) | ((ridge > _SMALLEST) & (ridge < _LARGEST)))
    held &= bool(s[0] > _SMALLEST)
    inside, outside = np.flatnonzero(held), np.flatnonzero(~held)
    for i in range(0, inside.size, step):
        block = inside[i : i + step]
        out[block] = _newton(s, counts, T[block], ridge[block])
    with np.errstate(over="ignore", under="ignore"):
        out[inside] = np.ldexp(out[inside], exponent)
    if outside.size:
        out[outside] = _extended(measure, T[outside], lam[outside])
    return out


def residual_degrees(measure: Measure, T: np.ndarray, lam: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """Return ``T - df2(kappa)`` in complement form at a solved ``kappa``; exactly 0 at ``T = rank``, ``lam = 0``."""
    s = measure.nodes
    flat = np.reshape(kappa, (-1, 1))
    out = np.empty(len(flat))
    step = max(1, _BLOCK // s.size)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        for i in range(0, len(flat), step):
            share = _minor_share(s, flat[i : i + step])
            out[i : i + step] = (share * (1 - share) * measure.counts).sum(axis=-1)
        unexplained = np.where(kappa > 0, T * (lam / kappa), T - measure.rank)
    return np.where(kappa > 0, unexplained + out.reshape(np.shape(kappa)), unexplained)


def _unit_scale(nodes: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the nodes over a power of two that brings the largest to [1/2, 1), and its exponent; exact unless tiny."""
    exponent = int(np.frexp(nodes.max())[1])
    with np.errstate(under="ignore"):
        return np.ldexp(nodes, -exponent), exponent


def _share_power(s: np.ndarray, x: np.ndarray, m: int) -> np.ndarray:
    """Return ``(s/(s + x))**m``; a share near one is powered through its complement, which carries all its digits."""
    with np.errstate(over="ignore", under="ignore"):  # a ratio beyond float64 is a share of one or of nothing
        ratio = x / s
        return np.where(ratio < 1, np.exp(-m * np.log1p(ratio)), np.reciprocal(1 + ratio) ** float(m))


def _minor_share(s: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``min(s, x)/(s + x)``: what the smaller of the two has of both, at most one half; the sum may overflow."""
    return np.reciprocal(1 + np.maximum(s, x) / np.minimum(s, x))


def _newton(s: np.ndarray, counts: np.ndarray, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return the roots for ascending nodes at unit scale."""
    equation = _Equation(s, counts)
    start = upper_end(T, lam, s[-1], (s * counts).sum(), equation.rank, np.sqrt, np.minimum)
    kappa = np.where((lam == 0) & (equation.rank <= T), 0.0, start)
    solved = np.flatnonzero(kappa > 0)
    live, gap = solved, np.zeros(0)
    for _ in range(_ITERATIONS):
        if live.size == 0:
            break
        x = kappa[live]
        # Below the bracket only by round-off, or where the root is beyond float64's reach.
        following = np.maximum(x - equation.step(T[live], lam[live], x, np.matmul), lam[live])
        gap = np.abs(following - x) / np.where(following > 0, following, 1.0)
        kappa[live] = following
        live = live[(gap > _ROUND_OFF) & (following < x)]
    else:
        raise ConvergenceError(
            f"effective ridge did not settle in {_ITERATIONS} Newton steps at T={float(T[live[0]])!r}, "
            f"lam={float(lam[live[0]])!r} times a power of two (relative step {gap.max():.1e}); report this spectrum"
        )
    # One more step with sums by pairs: the round-off of a matrix product grows with the number of nodes.
    x, t, ridge = kappa[solved], T[solved], lam[solved]
    kappa[solved] = np.maximum(x - equation.step(t, ridge, x, lambda f, w: (f * w).sum(axis=-1)), ridge)
    return kappa


class _Equation:
    """The equation ``x (T - df1(x)) = T lam`` over ascending nodes, its work space kept from step to step."""

    def __init__(self, s: np.ndarray, counts: np.ndarray) -> None:
        self.s, self.counts, self.rank = s, counts, counts.sum()
        self.from_node = np.append(counts[::-1].cumsum()[::-1], 0.0)  # directions from each node upwards
        self.space = np.empty((2, 0, s.size))

    def step(self, T: np.ndarray, lam: np.ndarray, x: np.ndarray, integral: Any) -> np.ndarray:
        """Return Newton's step, with the complement that follows ``x``."""
        if self.space.shape[1] < x.size:
            self.space = np.empty((2, x.size, self.s.size))
        share, work = self.space[:, : x.size]
        column = x[:, None]
        np.minimum(self.s, column, out=share)
        np.add(self.s, column, out=work)
        share /= work
        np.subtract(self.s, column, out=work)
        np.copysign(share, work, out=work)
        above = self.from_node[np.searchsorted(self.s, x, side="left")]
        unexplained = (T - above) + integral(work, self.counts)
        np.subtract(1.0, share, out=work)
        work *= share
        return np.asarray((x * unexplained - T * lam) / (unexplained + integral(work, self.counts)))


def _extended(measure: Measure, T: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Return the effective ridge where float64 has not the exponents to solve for it, rounded; inf if it overflows."""
    with exact_context(_EXTENDED_BITS) as mp:
        nodes = np.array([mp.mpf(float(x)) for x in measure.nodes], dtype=object)
        exact = Measure({COMMON: nodes}, measure.counts, None)
        pairs = zip(T.tolist(), lam.tolist(), strict=True)
        return np.array([float(exact_ridge(mp, exact, mp.mpf(t), mp.mpf(x))[0]) for t, x in pairs])


def _range(value: Any, name: str, *, strict: bool) -> np.ndarray:
    x = float64_array(name, value)
    bad = ~np.isfinite(x) | ((x <= 0) if strict else (x < 0))
    if bad.any():
        raise DomainError(
            f"{name} needs to be finite and {'> 0' if strict else '>= 0'}, got {x[bad].flat[0]!r}; change {name}"
        )
    return x
