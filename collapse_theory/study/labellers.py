r"""What real and synthetic rows say together about the truth, when synthetic labels come from fits on rows of their own.

By the deterministic equivalent of ridge regression, what was fit on labels of generation :math:`g-1` and labels generation
:math:`g` is, along the eigenvector :math:`j` of the input covariance,

.. math:: w_g\approx\frac{s_j}{s_j+\kappa}\,w_{g-1}+\nu\,\frac{\sqrt{s_j}}{s_j+\kappa}\,\xi_j,\qquad\xi_j\sim N(0,1),

with the effective ridge :math:`\kappa` of the fit and the variance :math:`\nu^2` per row that it was left with: a *channel*,
through which rows labelled by :math:`w_g` speak of the truth :math:`w_0`. What they say is a Gaussian *message*
:math:`\exp(c+b^\top w-\tfrac12w^\top Mw)`. Rows add to it and channels damp it, most along the directions in which labellers
know least; no number of synthetic rows says more than their labeller knew. With :math:`w_0\sim N(0,\tau^2I)` the probability of
all labels is a function of :math:`\tau`, :math:`\nu` and the noise levels, and where it is largest is what the rows show of
these. Labellers are least squares (:math:`\kappa=0`) or have the ridge that is best for them, :math:`\kappa=\nu^2/\tau^2`; the two
answers are averaged with their probabilities.

Sources: Bach, *High-dimensional analysis of double descent for linear regression with random projections* (2024), section 3,
for the channel; MacKay, *Bayesian interpolation*, Neural Computation 4 (1992), for the evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

__all__ = ["Estimate", "Message", "Summary", "estimate_truth"]

_SPREAD = 4.0  # standard deviation of the logarithm of a hyperparameter about its first guess: a factor of fifty
_FLAT = 1e3  # standard deviations of the labels that the intercept may be away
_RANGE = (-14.0, 10.0)  # of the logarithms about their first guess


@dataclass(frozen=True, eq=False)
class Message:
    r"""What rows say of a vector, :math:`\exp(c+b^\top w-\tfrac12w^\top Mw)`.

    Attributes:
        M: Precision, shape (p, p).
        b: Shape (p,).
        c: Logarithm of the probability of the rows as far as it does not depend on ``w``.
    """

    M: np.ndarray
    b: np.ndarray
    c: float

    def plus(self, rows: Summary, variance: float) -> Message:
        """Return the message with rows added whose labels have a noise variance."""
        c = -0.5 * (rows.yy / variance + rows.count * np.log(variance))
        return Message(self.M + rows.A / variance, self.b + rows.b / variance, self.c + c)

    def through(self, shrink: np.ndarray, variance: np.ndarray) -> Message:
        r"""Return the message about ``v`` where :math:`w_j=a_jv_j+N(0,q_j)`.

        Args:
            shrink: The factors :math:`a_j`, shape (p,).
            variance: The variances :math:`q_j`, shape (p,).
        """
        root = np.sqrt(variance)
        lower = _root(self.M, root)
        U = solve_triangular(lower, root[:, None] * self.M * shrink, lower=True, check_finite=False)
        u = solve_triangular(lower, root * self.b, lower=True, check_finite=False)
        c = 0.5 * float(u @ u) - float(np.log(np.diag(lower)).sum())
        return Message(shrink[:, None] * self.M * shrink - U.T @ U, shrink * self.b - U.T @ u, self.c + c)

    def mean(self, variance: np.ndarray) -> np.ndarray:
        """Return the posterior mean of the vector if its entries are independent with these prior variances."""
        root = np.sqrt(variance)
        lower = _root(self.M, root)
        u = solve_triangular(lower, root * self.b, lower=True, check_finite=False)
        mean: np.ndarray = root * solve_triangular(lower.T, u, lower=False, check_finite=False)
        return mean


def _root(M: np.ndarray, root: np.ndarray) -> np.ndarray:
    lower: np.ndarray = np.linalg.cholesky(np.eye(root.size) + root[:, None] * M * root)
    return lower


@dataclass(frozen=True, eq=False)
class Summary:
    """Rows of one generation, as far as the likelihood needs them.

    Attributes:
        A: Inputs' cross products, shape (p, p).
        b: Inputs times labels, shape (p,).
        yy: Squared norm of the labels.
        count: Number of rows.
    """

    A: np.ndarray
    b: np.ndarray
    yy: float
    count: int


@dataclass(frozen=True, eq=False)
class Estimate:
    """The truth as the rows show it.

    Attributes:
        coefficients: Shape (d,).
        intercept: At inputs of zero.
        ridge: The ridge of the fit on the mean loss of the real rows.
        noise: Standard deviation of the real labels' noise.
        weights: What a row of each generation says of the truth, in units of a real one; shape (generations,).
    """

    coefficients: np.ndarray
    intercept: float
    ridge: float
    noise: float
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """The probability of all rows, in the eigenbasis of their inputs, the intercept last."""

    s: np.ndarray
    parts: Sequence[Summary]
    spread: float

    @property
    def synthetic(self) -> bool:
        return len(self.parts) > 1

    def first_guess(self) -> np.ndarray:
        r"""Return logarithms to start from, of :math:`\tau^2,\sigma^2` and for synthetic rows :math:`\sigma_0^2,\nu^2`."""
        half = self.spread / 2
        start = [half / self.s[:-1].sum(), half]
        if self.synthetic:
            start += [half, self.spread / self.parts[0].count]
        return np.log(start)

    def prior(self, logs: np.ndarray) -> np.ndarray:
        return np.append(np.full(self.s.size - 1, np.exp(logs[0])), _FLAT**2 * self.spread)

    def channel(self, logs: np.ndarray, *, tuned: bool) -> tuple[np.ndarray, np.ndarray]:
        kappa = np.full(self.s.size, np.exp(logs[3] - logs[0]) if tuned else 0.0)
        kappa[-1] = 0.0  # the intercept is not shrunk
        return self.s / (self.s + kappa), np.exp(logs[3]) * self.s / (self.s + kappa) ** 2

    def message(self, logs: np.ndarray, *, tuned: bool, only: int | None = None) -> Message:
        """Return what all rows, or those of one generation, say of the truth."""
        said = Message(np.zeros((self.s.size, self.s.size)), np.zeros(self.s.size), 0.0)
        for g in range(len(self.parts) - 1, -1, -1):
            if self.parts[g].count and only in {None, g}:
                said = said.plus(self.parts[g], float(np.exp(logs[2 if g else 1])))
            if g:
                said = said.through(*self.channel(logs, tuned=tuned))
        return said

    def evidence(self, logs: np.ndarray, *, tuned: bool) -> float:
        prior = self.prior(logs)
        return self.message(logs, tuned=tuned).through(np.zeros(prior.size), prior).c


def estimate_truth(X: np.ndarray, y: np.ndarray, generation: np.ndarray) -> Estimate:
    """Return the coefficients of the truth behind real rows and synthetic ones.

    Args:
        X: Inputs, shape (N, d).
        y: Labels, shape (N,).
        generation: 0 for a real row, ``g`` for a row that a fit on labels of generation ``g - 1`` has labelled, shape (N,);
            some are 0. Labellers saw other rows than these: what a row says is counted once.

    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 2))
    >>> estimate_truth(X, X @ [1.0, -1.0] + 3, np.zeros(400, int)).coefficients.round(3)
    array([ 1., -1.])
    """
    centre, level = X.mean(axis=0), float(y[generation == 0].mean())
    _, S, Vt = np.linalg.svd(X - centre, full_matrices=False)
    live = np.finfo(float).eps * max(X.shape) * max(S[0], np.linalg.norm(X)) < S
    spread = float(np.square(y - level)[generation == 0].mean())
    if not live.any() or spread <= (np.finfo(float).eps * abs(level)) ** 2:
        return Estimate(np.zeros(X.shape[1]), level, 0.0, 0.0, np.ones(int(generation.max()) + 1))
    V = Vt[live].T
    Z = np.column_stack([(X - centre) @ V, np.ones(len(X))])
    parts = [_summary(Z[generation == g], (y - level)[generation == g]) for g in range(int(generation.max()) + 1)]
    rows = _Likelihood(np.append(S[live] ** 2 / len(X), 1.0), parts, spread)
    found = [_most_probable(rows, tuned=tuned) for tuned in ((False, True) if rows.synthetic else (False,))]
    share = np.exp([e - max(e for e, _, _ in found) for e, _, _ in found])
    share /= share.sum()
    mean = np.zeros(rows.s.size)
    for part, (_, tuned, logs) in zip(share, found, strict=True):
        mean += part * rows.message(logs, tuned=tuned).mean(rows.prior(logs))
    _, tuned, logs = max(found, key=lambda f: f[0])
    coefficients = V @ mean[:-1]
    return Estimate(
        coefficients,
        level + float(mean[-1] - centre @ coefficients),
        float(np.exp(logs[1] - logs[0])) / parts[0].count,
        float(np.exp(logs[1] / 2)),
        _weights(rows, logs, tuned=tuned),
    )


def _summary(Z: np.ndarray, y: np.ndarray) -> Summary:
    return Summary(Z.T @ Z, Z.T @ y, float(y @ y), len(y))


def _most_probable(rows: _Likelihood, *, tuned: bool) -> tuple[float, bool, np.ndarray]:
    """Return the largest evidence of one kind of labellers, the kind, and where it is."""
    start = rows.first_guess()

    def loss(logs: np.ndarray) -> float:
        held = 0.5 * float(np.square((logs - start) / _SPREAD).sum())
        return held - rows.evidence(logs, tuned=tuned)

    bounds = [(x + _RANGE[0], x + _RANGE[1]) for x in start]
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds)
    return -float(found.fun), tuned, found.x


def _weights(rows: _Likelihood, logs: np.ndarray, *, tuned: bool) -> np.ndarray:
    """Return the information about the coefficients per row of each generation, in units of that of a real row."""

    def per_row(g: int) -> float:
        count = rows.parts[g].count
        said = rows.message(logs, tuned=tuned, only=g).M
        return float(np.trace(said[:-1, :-1])) / count if count else 0.0

    return np.array([per_row(g) / per_row(0) for g in range(len(rows.parts))])
