"""Independent references for the tests: 50-digit mpmath, written from the textbook definitions, without the package."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
from mpmath import mp, mpf
from scipy.optimize import brentq

mp.dps = 50

_BERNOULLI = [Fraction(*map(int, mpmath.bernfrac(2 * n))) / math.factorial(2 * n) for n in range(1, 60)]


def numbers(values):
    """Return floats or integers as exact mpmath numbers."""
    return [mpf(float(x)) for x in values]


def kappa(s, T, lam, digits=90):
    """Return the effective ridge by bisection of ``T x = T lam + x df1(x)`` on the logarithm, then Newton's steps from above.

    The function is convex, so that each step squares the distance; no complement form.
    """
    with mpmath.workdps(digits):
        s, T, lam = [mpf(x) for x in s if x > 0], mpf(T), mpf(lam)
        if lam == 0 and len(s) <= T:
            return mpf(0)

        def excess(x):
            return x * (T - mpmath.fsum(e / (e + x) for e in s)) - T * lam

        high = lam + mpmath.fsum(s) / T
        low = lam if lam > 0 else high / 2
        while excess(low) > 0:
            low /= 2**16
        while high > low * (1 + mpf(2) ** -20):
            middle = mpmath.sqrt(low * high)
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
        x, step = high, high
        while step > x * mpf(10) ** (-3 * digits // 5):
            step = excess(x) / (T - mpmath.fsum((e / (e + x)) ** 2 for e in s))
            x -= step
        return x


def float_kappa(s, T, lam):
    """Return the effective ridge of an array of eigenvalues in float64, where it needs to be quick; ``lam > 0``."""
    return brentq(lambda k: k * (1 - (s / (s + k)).sum() / T) - lam, lam, lam + s.sum() / T, xtol=1e-300, rtol=1e-15)


def chain(s, w2, stages, digits=90):
    """Return bias and variance of a chain by the operator as the literature writes it, ``stages = [(T, lam, sigma)]``."""
    s, w2 = zip(*((a, b) for a, b in zip(s, w2, strict=True) if a > 0), strict=True)
    with mpmath.workdps(digits):
        M, u, variance = list(s), list(s), mpf(0)
        for T, lam, sigma in reversed(stages):
            k = kappa(s, T, lam, digits)
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


def strong_collapse(s, offset, N, p1, p2, lam):
    """Return the cost of synthetic labels as Dohmatob et al. (2024) write it."""
    k = kappa(s, N, lam)
    u = mpmath.fsum((e / (e + k)) ** 2 for e in s) / N
    u = u / (1 - u)
    pairs = list(zip(offset, s, strict=True))
    first = p2**2 * (1 + p1 * u) * mpmath.fsum(o * e**3 / (e + k) ** 2 for o, e in pairs)
    return first + p2 * u * mpmath.fsum(o * e * (p1 * e + k) ** 2 / (e + k) ** 2 for o, e in pairs)


def family_error(workflow, kind, T, n, T0=None, w=None):
    """Return the variance of the last fit from the covariances of all fits, round by round.

    A fit is an average of earlier fits and fresh noise, whose variance over the rows is 1 for a regular model and 1 minus
    the variance of the labeller for tokens and Gaussians. Units: of the truth, times T for a regular model.
    """
    T, T0, w = mpf(T), mpf(T0 or 0), mpf(w or 0)
    noise = (lambda c, rows: 1 / rows) if kind == "regular" else (lambda c, rows: (1 - c) / rows)
    real = noise(mpf(0), T)
    unit = T if kind == "regular" else mpf(1)
    c = [[real]]  # covariances of the fits so far
    match workflow:
        case "replace":
            for _ in range(n):
                c[0][0] += noise(c[0][0], T)
        case "accumulate":
            for k in range(2, n + 1):
                c[0][0] += noise(c[0][0], T) / mpf(k) ** 2
        case "keep-real":
            a, b, cross = T / (T + T0), T0 / (T + T0), real
            for _ in range(n):
                last = c[0][0]
                c[0][0] = a**2 * real + 2 * a * b * cross + b**2 * (last + noise(last, T0))
                cross = a * real + b * cross
        case "fresh-real":
            for _ in range(n):
                last = c[0][0]
                c[0][0] = w**2 * real + (1 - w) ** 2 * (last + noise(last, T0))
        case "random-past":  # round j averages the truth (which does not vary) and the j - 1 fits before
            for j in range(2, n + 1):
                row = [mpmath.fsum(c[i]) / j for i in range(j - 1)]
                mean = mpmath.fsum(row) / j
                for i in range(j - 1):
                    c[i].append(row[i])
                c.append([*row, mean + noise(mean, T)])
        case "accumulate-subsample":  # samples f_i, their pool's mean, and T of its kT rows without replacement
            f = [[real]]
            last, with_f = real, [real]
            for k in range(2, n + 1):
                for i in range(k - 1):
                    f[i].append(with_f[i])
                f.append([*with_f, last + noise(last, T)])
                with_f = [mpmath.fsum(f[i]) / k for i in range(k)]
                pool = mpmath.fsum(with_f) / k
                left = (k * T - T) / (T * (k * T - 1)) if kind != "regular" else (k * T - T) / (T * k * T)
                last = pool + noise(pool, T) * T * left
            c = [[last]]
    return c[-1][-1] * unit


def relative(got, want):
    """Return the relative gap, 0 where both vanish."""
    return float(abs(mpf(got) - want) / abs(want)) if want else float(abs(got))


def zeta_from(z, J):
    """Return the sum of ``j**-z`` from J on by Euler and Maclaurin's formula, to its relative precision."""
    total, power = mpf(J) ** (1 - z) / (z - 1) + mpf(J) ** -z / 2, z * mpf(J) ** (-z - 1)
    for n, b in enumerate(_BERNOULLI, 1):
        term = power * b.numerator / b.denominator
        if abs(term) < abs(total) * mpmath.eps:
            return total
        total += term
        power *= (z + 2 * n - 1) * (z + 2 * n) / mpf(J) ** 2
    raise AssertionError("the series has not converged")


def endless_sum(beta, kappa, a, b, power, terms=75):
    """Return the sum over all j of ``j**power s**a / (s + kappa)**b``: to four spectral radii term by term, then a series."""
    J = max(math.ceil((4 / kappa) ** (1 / beta)) + 5, 400, 4 * terms)
    s = [(mpf(j), mpf(j) ** -beta) for j in range(1, J)]
    head = mpmath.fsum(j**power * x**a / (x + kappa) ** b for j, x in s)
    return head + mpmath.fsum(
        mpmath.binomial(-b, m) * kappa ** (-b - m) * zeta_from(beta * (a + m) - power, J) for m in range(terms)
    )
