"""Numeric kernels of the special functions in outer expressions, by SymPy class name: one table per arithmetic.

Source: the asymptotic series of psi and log Gamma, NIST Digital Library of Mathematical Functions, 5.11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from collapse_theory.core.precision import elementary_functions
from collapse_theory.numerics.arrays import namespace

__all__ = ["float64_kernels", "mpmath_kernels"]

_SHIFT = 16  # the asymptotic series below is used at x >= _SHIFT, where six terms reach round-off
_BERNOULLI = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760)  # B_2j / (2j)


def digamma_difference(x: Any, h: Any) -> np.ndarray:
    r"""Return :math:`\psi(x+h)-\psi(x)` for ``x > 0``, ``x + h > 0`` without cancellation at small ``h``.

    The recurrence :math:`\psi(x+1)=\psi(x)+1/x` shifts to large argument, where every term of the asymptotic series is
    differenced on its own.

    >>> round(float(digamma_difference(1.0, 1.0)), 14)
    1.0
    """
    xp = namespace(x, h)
    x, h = xp.broadcast_arrays(xp.asarray(x, float), xp.asarray(h, float))
    total = 0 * x
    for k in range(_SHIFT):
        total += h / ((x + k) * (x + k + h))
    X = x + _SHIFT
    ratio = xp.log1p(h / X)
    total += ratio + h / (2 * X * (X + h))
    for j, b in enumerate(_BERNOULLI, start=1):
        total -= b * X ** (-2.0 * j) * xp.expm1(-2 * j * ratio)
    return total


def geometric_sum(x: Any, n: Any) -> Any:
    r"""Return :math:`\sum_{k<n}(1-x)^k` for ``0 <= x <= 1`` without cancellation at small ``x``.

    >>> float(geometric_sum(0.0, 5.0)), float(geometric_sum(0.5, 3.0))
    (5.0, 1.75)
    """
    xp = namespace(x, n)
    x, n = xp.broadcast_arrays(xp.asarray(x, float), xp.asarray(n, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = -xp.expm1(n * xp.log1p(-x)) / x
    return xp.where(x == 0, n, xp.where(n == 0, 0.0, quotient))


def harmonic(n: Any, order: Any = 1) -> Any:
    r"""Return :math:`\sum_{i\le n}i^{-p}` for a real upper limit.

    >>> round(float(harmonic(3, 2)), 12)
    1.361111111111
    """
    xp = namespace(n)
    n = xp.asarray(n, float)
    if np.all(np.asarray(order) == 1):
        return _special(xp).digamma(n + 1) + np.euler_gamma
    return zeta(order) - _special(xp).zeta(order, n + 1)


def polygamma(order: Any, x: Any) -> Any:
    """Return the polygamma function."""
    return _special(namespace(x)).polygamma(int(order), x)


def zeta(a: Any, q: Any = 1.0) -> Any:
    """Return the Hurwitz zeta function."""
    return _special(namespace(a, q)).zeta(a, q)


def gamma(x: Any) -> Any:
    """Return the gamma function."""
    return _special(namespace(x)).gamma(x)


def loggamma(x: Any) -> Any:
    """Return the logarithm of the gamma function at positive argument."""
    return _special(namespace(x)).gammaln(x)


def _special(xp: Any) -> Any:
    """Return the special functions on the arrays of a library."""
    if xp is np:
        import scipy.special

        return scipy.special
    import jax.scipy.special

    return jax.scipy.special


def gamma_ratio(x: Any, h: Any) -> Any:
    r"""Return :math:`\Gamma(x+h)/\Gamma(x)` for ``x > 0``, ``x + h > 0``; it does not overflow at large ``x``.

    The recurrence :math:`\Gamma(x+1)=x\Gamma(x)` shifts to large argument, where the two series of Stirling are differenced term by
    term, because their leading terms, of the size of :math:`x\log x`, cancel.

    >>> round(float(gamma_ratio(1000.0, 1.0)), 11)
    1000.0
    """
    xp = namespace(x, h)
    x, h = xp.broadcast_arrays(xp.asarray(x, float), xp.asarray(h, float))
    small = xp.minimum(x, x + h) < _SHIFT
    product = xp.ones(x.shape)
    for k in range(_SHIFT):
        product *= xp.where(small, (x + k) / (x + k + h), 1.0)
    a = xp.where(small, x + _SHIFT, x)
    ratio = xp.log1p(h / a)
    logarithm = h * xp.log(a) + ((a + h - 0.5) * ratio - h)
    for j, c in enumerate(_BERNOULLI, start=1):
        logarithm += c / (2 * j - 1) * a ** (1.0 - 2 * j) * xp.expm1((1 - 2 * j) * ratio)
    return product * xp.exp(logarithm)


def float64_kernels() -> Mapping[str, Callable[..., Any]]:
    """Return the kernels on float64 arrays of NumPy, and of any library whose arrays say what they are of."""
    return {
        "DigammaDifference": digamma_difference,
        "GeometricSum": geometric_sum,
        "harmonic": harmonic,
        "digamma": lambda x: polygamma(0, x),
        "polygamma": polygamma,
        "zeta": zeta,
        "gamma": gamma,
        "loggamma": loggamma,
        "GammaRatio": gamma_ratio,
    }


def mpmath_kernels(mp: Any) -> Mapping[str, Callable[..., Any]]:
    """Return the kernels in the mpmath context ``mp``, whose working precision carries guard digits."""
    return {
        **elementary_functions(mp),
        "DigammaDifference": lambda x, h: mp.digamma(x + h) - mp.digamma(x),
        "GeometricSum": lambda x, n: n if x == 0 else (1 - (1 - x) ** n) / x,
        "GammaRatio": mp.rf,
    }
