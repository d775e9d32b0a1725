r"""The logarithm of the Gamma function off the real axis, less its linear part: what laws of many logarithms add up.

With ``G(t) = log Gamma(a + it) - log Gamma(a) - i t psi(a)`` the logarithm of a Gamma variable of shape ``a``, centred,
has the characteristic function ``exp G(t)``. Subtracting logarithms of Gamma cancels digits: they are of the size of
``a log a`` and ``G(t)`` of that of ``t^2/(2a)``, at ``t`` of the order of ``sqrt(a/m)`` for a sum of ``m``. Here every
term of Stirling's series is differenced on its own.
"""

from __future__ import annotations

import numpy as np

__all__ = ["centred_log_gamma"]

_SHIFT = 16  # the asymptotic series is used at a >= _SHIFT, where six terms reach round-off
_TERMS = 6
_POWERS = 26  # of y^2 <= 1/4 in the series of arctan


def centred_log_gamma(a: float, t: np.ndarray) -> np.ndarray:
    r"""Return ``log Gamma(a+it) - log Gamma(a) - i t psi(a)``, with a relative error of a few units of round-off.

    With ``u = it/a`` and ``r(u) = log(1+u) - u``, Stirling's series gives

    ``a [(1+u) r + u^2] - r/2 + sum_j B_2j/(2j(2j-1)) a^(1-2j) [(1+u)^(1-2j) - 1 + (2j-1) u]``,

    and ``Gamma(a+1) = a Gamma(a)`` shifts a small ``a``: each factor ``a + k`` takes ``r(it/(a+k))`` off.

    Args:
        a: Shape, > 0.
        t: Frequencies, real; one axis.

    >>> from scipy.special import digamma, loggamma
    >>> t = np.array([0.5, 3.0])
    >>> bool(np.allclose(centred_log_gamma(2.5, t), loggamma(2.5 + 1j * t) - loggamma(2.5) - 1j * t * digamma(2.5)))
    True
    """
    from scipy.special import bernoulli

    total = np.zeros(t.shape, complex)
    if a < _SHIFT:
        factors = a + np.arange(_SHIFT)
        total -= _log1p_remainder(t[:, None] / factors).sum(axis=1)
        a += _SHIFT
    y = t / a
    u, r = 1j * y, _log1p_remainder(y)
    total += a * ((1 + u) * r - y**2) - r / 2
    for j, b in enumerate(bernoulli(2 * _TERMS)[2::2], start=1):
        n = 2 * j - 1
        total += b / (2 * j * n) * a ** float(-n) * (np.expm1(-n * (u + r)) + n * u)
    return total


def _log1p_remainder(y: np.ndarray) -> np.ndarray:
    """Return ``log(1 + iy) - iy``, each part to round-off: the imaginary one is of the size of ``y^3``."""
    k = np.arange(1, _POWERS + 1)
    near = np.clip(y, -0.5, 0.5)
    series = near**3 * np.polynomial.polynomial.polyval(near**2, (-1.0) ** k / (2 * k + 1))
    return np.log1p(y**2) / 2 + 1j * np.where(np.abs(y) <= 0.5, series, np.arctan(y) - y)
