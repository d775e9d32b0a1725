"""The parts of exported NumPy source: each is copied as it stands here, so that it is read, checked and tested as code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = [
    "design_matrices",
    "design_responses",
    "digamma_difference",
    "effective_ridge",
    "feature_residual",
    "feature_rest",
    "feature_ridge",
    "fixed_point",
    "gamma_ratio",
    "geometric_sum",
    "harmonic",
    "linear_root",
    "polygamma",
    "residual_degrees",
    "shared_designs",
]


def effective_ridge(s: np.ndarray, T: float, lam: float) -> float:
    """Return kappa >= 0 with kappa - lam = kappa df1(kappa) / T, where df1 = sum s / (s + kappa); its limit at lam = 0."""
    rank = np.sum(s > 0)
    if lam == 0 and rank <= T:
        return 0.0
    kappa = lam + np.sum(s) / T  # above the root; the equation is convex, so that Newton's steps descend to it
    for _ in range(3000):
        large = s >= kappa  # T - df1 without cancellation, whether kappa is small or large
        rest = (T - np.sum(large)) + np.sum(kappa / (s[large] + kappa)) - np.sum(s[~large] / (s[~large] + kappa))
        slope = rest + np.sum(kappa * s / (s + kappa) ** 2)
        below = kappa - (kappa * rest - T * lam) / slope
        if not max(below, lam) < kappa * (1 - 1e-15):
            return float(kappa)
        kappa = max(below, lam)
    raise ArithmeticError(f"the effective ridge does not settle at T={T}, lam={lam}; it is near {kappa}")


def residual_degrees(s: np.ndarray, T: float, lam: float, kappa: float) -> float:
    """Return T - df2(kappa), as a sum of positive terms."""
    out = T - np.sum(s > 0) if kappa == 0 else T * lam / kappa + np.sum(kappa * s / (s + kappa) ** 2)
    if out == 0:
        raise ValueError(f"without a ridge T needs to differ from the rank, got T={T}: the error is infinite there")
    return float(out)


def feature_ridge(s: np.ndarray, T: float, m: float, lam: float) -> float:
    """Return the effective ridge x of a fit on m random features: x - lam = x df1(kappa) / T, kappa - x = kappa df1(kappa) / m."""
    a, b = min(T, m), max(T, m)  # rows and features enter alike
    y = lam + np.sum(s) / b if lam > 0 else 0.0  # above the root of a convex equation
    for _ in range(3000):
        kappa = effective_ridge(s, a, y)
        if y == 0:
            return 0.0 if m <= T else kappa * feature_rest(s, a, m, y, kappa) / m
        rest = (b - a) + a * y / kappa
        spread = np.sum(s / (s + kappa) ** 2)
        slope = rest + y * a * spread / (a * y / kappa + kappa * spread)
        below = y - (y * rest - b * lam) / slope
        if not max(below, lam) < y * (1 - 1e-15):
            return y if m <= T else kappa * feature_rest(s, a, m, y, kappa) / m
        y = max(below, lam)
    raise ArithmeticError(f"the ridge of the features does not settle at T={T}, m={m}, lam={lam}; it is near {y}")


def feature_rest(s: np.ndarray, a: float, m: float, y: float, kappa: float) -> float:
    """Return m - df1(kappa), as a sum of positive terms."""
    return float((m - a) + (a * y / kappa if kappa > 0 else a - np.sum(s > 0)))


def feature_residual(s: np.ndarray, T: float, m: float, lam: float, ridge: float) -> float:
    """Return T - df2 of the features at their effective ridge, as a sum of positive terms."""
    kappa = effective_ridge(s, m, ridge)
    spread = np.sum(s / (s + kappa) ** 2)
    features = m * ridge / kappa if kappa > 0 else m - np.sum(s > 0)  # m - df1
    rows = T * lam / ridge if ridge > 0 else T - (m - features)  # T - df1
    out = rows + (kappa * features / (features + kappa * spread) * spread if kappa > 0 else 0.0)
    if out == 0:
        raise ValueError(
            f"without a ridge T needs to differ from m and from the rank, got T={T}, m={m}: the error is infinite"
        )
    return float(out)


def fixed_point(sides: Callable[[np.ndarray], Sequence[float]], count: int) -> np.ndarray:
    """Return the positive x with x = sides(x), each side increasing: Newton's steps in log x, after plain ones."""
    x = np.ones(count)
    for step in range(500):
        f = np.array(sides(x), dtype=float)
        if not np.all(np.isfinite(f) & (f > 1e-200)):  # without a ridge they go to zero
            break
        if np.all(np.abs(f - x) <= 2e-16 * x):
            return f
        if step < 8:
            x = f
            continue
        h, slopes = 1e-6, np.empty((count, count))
        for j in range(count):
            up, down = x * np.where(np.arange(count) == j, 1 + h, 1), x * np.where(np.arange(count) == j, 1 - h, 1)
            slopes[:, j] = (np.log(sides(up)) - np.log(sides(down))) / (2 * h)
        change = np.linalg.solve(np.eye(count) - slopes, np.log(f / x))
        if count == 1:  # f / x decreases, so that its sign says where the root is
            change = np.sign(f - x) * np.abs(change)
        x = x * np.exp(np.clip(change, -2, 2))
        if np.all(np.abs(change) < 1e-11):
            return x
    raise ArithmeticError(f"the equations of a fit do not settle, the last values are {x}; give it a positive ridge")


def shared_designs(s: np.ndarray, w2: np.ndarray, fits: list[Any], designs: list[Any]) -> tuple[float, float]:
    """Return bias and variance of the last of several fits that share inputs.

    ``fits`` are pairs (rows, ridge); ``designs`` are (rows, runs of fits that see it, labels, whether all of them see the same
    labels), where labels are a list of (labeller, coefficient), the variance of a noise of the fit's own and the amplitude of one
    that all of them share, one for each fit or one for all.
    """
    K, N = len(fits), np.array([rows for rows, _ in fits], dtype=float)
    for rows, ridge in fits:
        if ridge == 0 and rows == np.sum(s > 0):
            raise ValueError(
                f"without a ridge rows need to differ from the rank, got {rows}: the error is infinite there"
            )
    shared = [design_matrices(K, *design) for design in designs]
    A, F, L = design_responses(s, fits, N, shared)
    forms = [[np.sum(w2 * s * F[k] * F[other]) for other in range(K)] for k in range(K)]
    overlaps = [[A[k] @ A[other].T for other in range(K)] for k in range(K)]

    def error(signal: float, noise: float) -> float:
        Q = np.zeros((K, K))
        for k in range(K):
            for other in range(k + 1):

                def moment(x: float, k: int = k, other: int = other) -> float:
                    Q[k, other] = Q[other, k] = x
                    rows = [
                        T * one @ (C @ Q @ C.T + noise * Xi) @ one.T
                        for one, (T, _, C, Xi) in zip(L, shared, strict=True)
                    ]
                    return float(signal * forms[k][other] + np.sum(overlaps[k][other] * sum(rows) / np.outer(N, N)))

                Q[k, other] = Q[other, k] = linear_root(moment)
        return float(Q[-1, -1])

    return error(1.0, 0.0), error(0.0, 1.0)


def design_matrices(
    K: int, T: float, runs: Any, labels: Any, same: bool
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of a design, which pairs of fits see it, their labels C and the covariance of their label noises."""
    seers = [k for first, last in runs for k in range(int(first) - 1, int(last))]
    mask, b, C, Xi = np.zeros(K), np.zeros(K), np.zeros((K, K)), np.zeros((K, K))
    mask[seers] = 1
    for k, (row, variance, b[k]) in zip(seers, labels * len(seers) if same else labels, strict=True):
        C[k, k] += 1
        Xi[k, seers if same else [k]] = variance
        for labeller, coefficient in row:
            C[k, int(labeller) - 1] -= coefficient
    return T, np.outer(mask, mask), C, Xi + np.outer(b, b)


def design_responses(
    s: np.ndarray, fits: Any, N: np.ndarray, shared: Any
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the responses A of fits to fits, what the means F of the fits miss, and the responses L of the rows of each design."""
    K, kappas = len(fits), [effective_ridge(s, rows, ridge) for rows, ridge in fits]
    theta, g, A, F = np.zeros((K, K)), np.zeros((K, K)), np.zeros((K, K, len(s))), np.zeros((K, len(s)))

    def rows() -> list[np.ndarray]:
        own = np.diag(np.diag(theta))
        return [np.linalg.inv(np.eye(K) + sees * (C @ theta - own)) * sees for _, sees, C, _ in shared]

    for k in range(K):
        A[k, k] = s / (s + kappas[k])
        theta[k, k] = np.sum(A[k, k]) / N[k]
        for other in reversed(range(k)):

            def response(x: float, k: int = k, other: int = other) -> float:
                theta[k, other] = x
                g[:] = sum(T * (one @ C) for one, (T, _, C, _) in zip(rows(), shared, strict=True)) / N[:, None]
                A[k, other] = -A[k, k] * sum(g[k, i] * A[i, other] for i in range(other, k))
                return float(np.sum(A[k, other]) / N[other])

            response(linear_root(response))
        F[k] = kappas[k] / (s + kappas[k]) - A[k, k] * sum(g[k, i] * F[i] for i in range(k))
    return A, F, rows()


def linear_root(f: Callable[[float], float]) -> float:
    """Return the x with x = f(x), where f is linear."""
    start = f(0.0)
    return start / (1 - (f(1.0) - start))


def gamma_ratio(x: float, h: float) -> float:
    """Return Gamma(x + h) / Gamma(x) by Stirling's series, whose large terms are subtracted before they are large."""
    ratio = 1.0
    while min(x, x + h) < 20:
        ratio *= x / (x + h)
        x += 1
    y = x + h
    rest = [1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5) - 1 / (1680 * z**7) for z in (x, y)]
    return ratio * math.exp((y - 0.5) * math.log1p(h / x) + h * math.log(x) - h + rest[1] - rest[0])


def digamma_difference(x: float, h: float) -> float:
    """Return psi(x + h) - psi(x), without the difference of two nearby values."""
    total = 0.0
    while min(x, x + h) < 20:
        total += h / (x * (x + h))
        x += 1
    y = x + h
    rest = [
        1 / (12 * z**2) - 1 / (120 * z**4) + 1 / (252 * z**6) - 1 / (240 * z**8) + 1 / (132 * z**10) for z in (x, y)
    ]
    return total + math.log1p(h / x) + h / (2 * x * y) - (rest[1] - rest[0])


def polygamma(order: int, x: float) -> float:
    """Return the derivative of order ``order`` of psi at x > 0."""
    if order == 0:
        total = 0.0
        while x < 20:
            total -= 1 / x
            x += 1
        rest = 1 / (12 * x**2) - 1 / (120 * x**4) + 1 / (252 * x**6) - 1 / (240 * x**8) + 1 / (132 * x**10)
        return total + math.log(x) - 1 / (2 * x) - rest
    q, total = order + 1, 0.0
    while x < 20:
        total += x**-q
        x += 1
    total += x ** (1 - q) / (q - 1) + x**-q / 2
    term, bernoulli = q * x ** (-q - 1) / 2, (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730)
    for k, number in enumerate(bernoulli, start=1):
        total += number * term
        term *= (q + 2 * k - 1) * (q + 2 * k) / ((2 * k + 1) * (2 * k + 2)) / x**2
    return (-1) ** (order + 1) * math.factorial(order) * total


def geometric_sum(x: float, n: float) -> float:
    """Return the sum of (1 - x)^k over k = 0, ..., n - 1."""
    return n if x == 0 else (1 - 0.0**n) if x == 1 else -math.expm1(n * math.log1p(-x)) / x


def harmonic(n: float, power: float = 1) -> float:
    """Return the sum of 1 / i^power over i = 1, ..., n."""
    return math.fsum(i**-power for i in range(1, int(n) + 1))
