"""Independent references for the tests: 50-digit mpmath, written from the textbook definitions, without the package."""

from __future__ import annotations

import mpmath
from mpmath import mp, mpf

mp.dps = 50


def numbers(values):
    """Return floats or integers as exact mpmath numbers."""
    return [mpf(float(x)) for x in values]


def kappa(s, T, lam):
    """Return the effective ridge by bisection on the logarithm, then secant steps: no Newton, no complement form."""
    s = [x for x in s if x > 0]
    if lam == 0 and len(s) <= T:
        return mpf(0)
    with mpmath.workdps(90):

        def gap(x):
            return x - lam - x * mpmath.fsum(e / (e + x) for e in s) / T

        high = lam + mpmath.fsum(s) / T
        low = lam if lam > 0 else high
        while gap(low) > 0 and lam == 0:
            low /= 16
        for _ in range(320):
            middle = mpmath.sqrt(low * high)
            low, high = (middle, high) if gap(middle) < 0 else (low, middle)
        return +high


def chain(s, w2, stages):
    """Return bias and variance of a chain by the operator as the literature writes it, ``stages = [(T, lam, sigma)]``."""
    s, w2 = zip(*((a, b) for a, b in zip(s, w2, strict=True) if a > 0), strict=True)
    with mpmath.workdps(90):
        M, u, variance = list(s), list(s), mpf(0)
        for T, lam, sigma in reversed(stages):
            k = kappa(s, T, lam)
            residual = T - mpmath.fsum((e / (e + k)) ** 2 for e in s)
            t = mpmath.fsum(m * e / (e + k) ** 2 for m, e in zip(M, s, strict=True)) / residual
            variance += sigma**2 * t
            M = [(e / (e + k)) ** 2 * m + k**2 * t * e / (e + k) ** 2 for m, e in zip(M, s, strict=True)]
            u = [x * e / (e + k) for x, e in zip(u, s, strict=True)]
        bias = mpmath.fsum(w * (e - 2 * x + m) for w, e, x, m in zip(w2, s, u, M, strict=True))
    return bias, variance


def ridge_replace(s, w2, n, T, T0, lam, sigma, sigma0):
    """Return (bias, variance, synthetic variance): exact generators, proportional downstream."""
    bias, variance = chain(s, w2, [(T, lam, sigma)])
    s = [x for x in s if x > 0]
    k, d = kappa(s, T, lam), len(s)
    df2 = mpmath.fsum((e / (e + k)) ** 2 for e in s)
    spread = df2 + k**2 * mpmath.fsum((e + k) ** -2 for e in s) * df2 / (T - df2)
    return bias, variance, n * sigma0**2 / (T0 - d - 1) * spread


def relative(got, want):
    """Return the relative gap, 0 where both vanish."""
    return float(abs(mpf(got) - want) / abs(want)) if want else float(abs(got))
