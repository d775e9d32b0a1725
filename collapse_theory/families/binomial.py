r"""Binomial probabilities to full relative accuracy at any number of rows.

Loader's form of the logarithm has no large terms that cancel (log-gamma loses ``1e-16 T log T``):

``log b(k; T, x) = e(T) - e(k) - e(T-k) - D(k, Tx) - D(T-k, T(1-x)) + log(T/(2 pi k (T-k)))/2``,

``e`` the error of Stirling's formula, ``D(k, y) = k log(k/y) + y - k`` the deviance.

Source: Loader, Fast and accurate computation of binomial probabilities, 2000.
"""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, gammaln, log1p, xlog1py, xlogy

__all__ = ["mean_absolute_deviation", "mean_absolute_distance", "probabilities"]

_SERIES_FROM = 20


def probabilities(T: int, count: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return ``Pr(Bin(T, x) = count)`` elementwise.

    Args:
        T: Rows, >= 1.
        count: Integers in 0..T.
        x: Frequencies in [0, 1], same shape.

    >>> probabilities(4, np.array([2, 0]), np.array([0.5, 0.25])).round(12).tolist()
    [0.375, 0.31640625]
    """
    count, x = np.asarray(count), np.asarray(x, dtype=float)
    out = np.empty(count.shape)
    edge = (count == 0) | (count == T) | (x == 0) | (x == 1)
    k, y = count[edge], x[edge]
    out[edge] = np.exp(xlogy(k, y) + xlog1py(T - k, -y)) * ((k == 0) | (k == T))
    k, y = count[~edge], x[~edge]
    if k.size:
        base, top = int(k.min()), int(k.max())
        table = _stirling_error(np.arange(base, top + 1)) + _stirling_error(T - np.arange(base, top + 1))
        k = k.astype(float)
        log = _stirling_error(np.array([T]))[0] - table[k.astype(np.int64) - base]
        log -= _deviance(k, T * y) + _deviance(T - k, T * (1 - y))
        out[~edge] = np.exp(log) * np.sqrt(T / (2 * np.pi * k * (T - k)))
    return out


def mean_absolute_deviation(T: int, x: np.ndarray) -> np.ndarray:
    r"""Return ``E |Bin(T, x)/T - x|``.

    De Moivre's identity (Diaconis, Zabell, Closed form summation for classical distributions, Statistical Science 1991):
    ``(2/T) nu C(T, nu) x^nu (1-x)^(T-nu+1)`` with ``nu = floor(Tx) + 1``.

    >>> float(mean_absolute_deviation(2, np.array([0.5]))[0])
    0.25
    """
    x = np.asarray(x, dtype=float)
    nu = np.minimum(np.floor(T * x).astype(np.int64) + 1, T)
    inside = (x > 0) & (x < 1)
    out = np.zeros(x.shape)
    out[inside] = 2 * nu[inside] / T * probabilities(T, nu[inside], x[inside]) * (1 - x[inside])
    return out


def mean_absolute_distance(T: int, x: np.ndarray, point: np.ndarray) -> np.ndarray:
    r"""Return ``E |Bin(T, x) - point|``, elementwise, for any real points.

    ``2 [t F_T(floor t) - T x F_{T-1}(floor t - 1)] + T x - t`` with ``t`` the point and ``F_T`` the distribution function of
    ``Bin(T, x)``, by ``k b(k; T, x) = T x b(k-1; T-1, x)``.

    >>> mean_absolute_distance(2, np.array([0.5, 0.5]), np.array([1.0, 1.5])).round(12).tolist()
    [0.5, 0.75]
    """
    x, t = np.asarray(x, dtype=float), np.asarray(point, dtype=float)
    out = np.abs(T * x - t)
    inside = (t > 0) & (t < T) & (x > 0) & (x < 1)
    k, q, at = np.floor(t[inside]), x[inside], t[inside]
    before = np.where(k > 0, bdtr(np.maximum(k - 1, 0), T - 1, q), 0.0) if T > 1 else np.zeros(k.shape)
    out[inside] = 2 * (at * bdtr(k, T, q) - T * q * before) + T * q - at
    return out


def _deviance(k: np.ndarray, y: np.ndarray) -> np.ndarray:
    excess = (k - y) / y
    return y * ((1 + excess) * log1p(excess) - excess)


def _stirling_error(k: np.ndarray) -> np.ndarray:
    """Return ``log k! - log(sqrt(2 pi k) (k/e)^k)`` for integers k >= 1."""
    k = np.maximum(k, 1).astype(float)
    i = 1 / (k * k)
    series = (1 / 12 - i * (1 / 360 - i * (1 / 1260 - i * (1 / 1680 - i * (1 / 1188 - i * 691 / 360360))))) / k
    direct = gammaln(np.minimum(k, _SERIES_FROM) + 1) - (k + 0.5) * np.log(k) + k - 0.5 * np.log(2 * np.pi)
    return np.where(k < _SERIES_FROM, direct, series)
