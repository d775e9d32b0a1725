"""Numeric kernels of the special functions in outer expressions, by SymPy class name: one table per arithmetic.

Source: the asymptotic series of psi and log Gamma, NIST Digital Library of Mathematical Functions, 5.11.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from collapse_theory.core.precision import elementary_functions

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
    x, h = np.asarray(x, float), np.asarray(h, float)
    total = np.zeros(np.broadcast(x, h).shape)
    for k in range(_SHIFT):
        total += h / ((x + k) * (x + k + h))
    X = x + _SHIFT
    ratio = np.log1p(h / X)
    total += ratio + h / (2 * X * (X + h))
    for j, b in enumerate(_BERNOULLI, start=1):
        total -= b * X ** (-2.0 * j) * np.expm1(-2 * j * ratio)
    return total


def geometric_sum(x: Any, n: Any) -> Any:
    r"""Return :math:`\sum_{k<n}(1-x)^k` for ``0 <= x <= 1`` without cancellation at small ``x``.

    >>> float(geometric_sum(0.0, 5.0)), float(geometric_sum(0.5, 3.0))
    (5.0, 1.75)
    """
    x, n = np.broadcast_arrays(np.asarray(x, float), np.asarray(n, float))
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = -np.expm1(n * np.log1p(-x)) / x
    return np.where(x == 0, n, np.where(n == 0, 0.0, quotient))


def harmonic(n: Any, order: Any = 1) -> Any:
    r"""Return :math:`\sum_{i\le n}i^{-p}` for a real upper limit.

    >>> round(float(harmonic(3, 2)), 12)
    1.361111111111
    """
    from scipy.special import digamma, zeta

    if np.all(np.asarray(order) == 1):
        return digamma(np.asarray(n, float) + 1) + np.euler_gamma
    return zeta(order, 1.0) - zeta(order, np.asarray(n, float) + 1)


def polygamma(order: Any, x: Any) -> Any:
    """Return the polygamma function."""
    from scipy.special import polygamma as evaluate

    return evaluate(int(order), x)


def zeta(a: Any, q: Any = 1.0) -> Any:
    """Return the Hurwitz zeta function."""
    from scipy.special import zeta as evaluate

    return evaluate(a, q)


def gamma(x: Any) -> Any:
    """Return the gamma function."""
    from scipy.special import gamma as evaluate

    return evaluate(x)


def loggamma(x: Any) -> Any:
    """Return the logarithm of the gamma function at positive argument."""
    from scipy.special import gammaln

    return gammaln(x)


def gamma_ratio(x: Any, h: Any) -> Any:
    r"""Return :math:`\Gamma(x+h)/\Gamma(x)` for ``x > 0``, ``x + h > 0``; it does not overflow at large ``x``.

    The recurrence :math:`\Gamma(x+1)=x\Gamma(x)` shifts to large argument, where the two series of Stirling are differenced term by
    term, because their leading terms, of the size of :math:`x\log x`, cancel.

    >>> round(float(gamma_ratio(1000.0, 1.0)), 11)
    1000.0
    """
    x, h = np.broadcast_arrays(np.asarray(x, float), np.asarray(h, float))
    small = np.minimum(x, x + h) < _SHIFT
    product = np.ones(x.shape)
    for k in range(_SHIFT):
        product *= np.where(small, (x + k) / (x + k + h), 1.0)
    a = np.where(small, x + _SHIFT, x)
    ratio = np.log1p(h / a)
    logarithm = h * np.log(a) + ((a + h - 0.5) * ratio - h)
    for j, c in enumerate(_BERNOULLI, start=1):
        logarithm += c / (2 * j - 1) * a ** (1.0 - 2 * j) * np.expm1((1 - 2 * j) * ratio)
    return product * np.exp(logarithm)


def float64_kernels() -> Mapping[str, Callable[..., Any]]:
    """Return the kernels on float64 arrays."""
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
