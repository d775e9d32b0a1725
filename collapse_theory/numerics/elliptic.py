r"""The clean test error when rows are not Gaussian but elliptic, or drawn with replacement from a finite population.

A row is :math:`x=\sqrt\tau\,\Sigma^{1/2}g` with :math:`\mathbb E\tau=1`; a population of N such rows, each drawn :math:`m`
times (Poisson of mean :math:`T/N`), has the covariance :math:`\Sigma=X^\top X/N` that the user sees, and is where the fit is
tested. With :math:`u=hm\tau/(1+hm\tau)` (:math:`hm\tau` is what a row adds to its own prediction),
:math:`v=b\tau/(1+b\tau)` and means over the population,

.. math::
    \mathrm{df}_1(\kappa)=N\,\mathbb Eu=N\,\mathbb Ev,\qquad\kappa=\lambda\,\frac{hT}{Nb}.

Of the rows, the theory keeps :math:`p_u=\mathbb Eu(1-u)/\mathbb Eu`, :math:`p_v`, :math:`G=\mathbb E\,\tau/(1+hm\tau)^2` and
:math:`r=\mathbb E[u^2/(m\tau)]/\mathbb Eu`. With :math:`\Delta=1-\mathrm{df}_2/\mathrm{df}_1` and
:math:`D=p_u+(1-p_u/p_v)\Delta`,

.. math::
    B=\frac{GNb}{\mathrm{df}_1D}\,\kappa^2w_0^\top\Sigma(\Sigma+\kappa)^{-2}w_0,\qquad
    V=\sigma^2\Big[\mathbb E\frac{u^2}m+\frac{Gr(1-\Delta/p_v)}D\Big].

**Where this comes from.** The equivalent of the resolvent of elliptic rows with covariance :math:`\Sigma_\infty` is
:math:`\lambda R\simeq\kappa_\infty(\Sigma_\infty+\kappa_\infty)^{-1}`, :math:`\mathrm{df}_1=N\mathbb Eu`,
:math:`\kappa_\infty=\lambda hT/(N\,\mathbb Eu)`. It holds for all weights of the rows: at weights one it expresses
:math:`\Sigma_\infty` by the population's :math:`\Sigma` (that is :math:`v` and :math:`b`), and since
:math:`S+t\Sigma` is the population with the weights :math:`m/T+t/N`, its derivative in t is :math:`R\Sigma R`, hence B. V is
the derivative of :math:`\lambda\operatorname{tr}\Sigma R` in :math:`\lambda`, and :math:`\operatorname{tr}\Sigma R` a sum of
:math:`x_i^\top Rx_i` over the population.

Fresh rows are the limit :math:`N\to\infty`: the sums over drawn rows are T times a mean over :math:`\tau`, :math:`p_v=1`,
:math:`G=1`, :math:`Nb=\mathrm{df}_1`, :math:`\mathbb Eu^2/m=0`. Then :math:`\kappa=\lambda/\mathbb E[\tau/(1+h\tau)]`, least
squares has the error :math:`\sigma^2h`, and at :math:`\tau=1` everything is the Gaussian theory. All terms are sums of
positive ones: nothing cancels at a small ridge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import poisson

from collapse_theory.core.errors import DomainError
from collapse_theory.describe.spectra import Eigenvalues
from collapse_theory.numerics.effective_ridge import effective_ridge

__all__ = ["CleanFit", "clean_fit"]

_TAIL = 1e-13  # share of the draws that the table of multiplicities leaves out
_OFTEN = 1000.0  # mean number of draws of a row from which they are as good as normal
_RANGE = 1e200  # of the ridge over the largest eigenvalue, both ways: beyond, float64 has no room for the products
_ROWS = 1e90
_ROUND_OFF = 1e-12
_STRIDE = 4.0  # of the search for a bracket, in units of the exponent


@dataclass(frozen=True)
class CleanFit:
    r"""One fit on truthful labels: :math:`E=\sum_jb(s_j)w_{0,j}^2+v\,\sigma^2`.

    Attributes:
        kappa: The effective ridge.
        inflation: :math:`b(s)=\text{inflation}\cdot\kappa^2s/(s+\kappa)^2`.
        noise: :math:`v`, the error per unit of noise variance; infinite at the interpolation threshold.
    """

    kappa: float
    inflation: float
    noise: float

    def bias(self, s: np.ndarray) -> np.ndarray:
        """Return the error per unit of target energy in a direction of variance ``s``."""
        return np.asarray(self.inflation * s * np.square(self.kappa / (s + self.kappa)))


@dataclass(frozen=True)
class _Rows:
    """The law of the rows: values of (tau, m) and how many rows have them.

    Attributes:
        scales: Equally likely values of tau, shape (n,).
        tau: Scale of a row, shape (k,).
        times: How often it is drawn, shape (k,), zeros among them for a population.
        mass: Expected number of such rows, shape (k,).
        N: Rows of the population; infinite for fresh rows.
    """

    scales: np.ndarray
    tau: np.ndarray
    times: np.ndarray
    mass: np.ndarray
    N: float

    @classmethod
    def of(cls, scales: np.ndarray, T: float, N: float) -> _Rows:
        """Return the law of T rows of equally likely scales, fresh or from a population of N."""
        if math.isinf(N):
            return cls(scales, scales, np.ones(scales.size), np.full(scales.size, T / scales.size), N)
        if T / N > _OFTEN:  # the draws are as good as normal: a few nodes carry their moments
            nodes, weights = np.polynomial.hermite_e.hermegauss(9)
            times, chance = T / N + math.sqrt(T / N) * nodes, weights / weights.sum()
        else:
            draws = poisson(T / N)
            times = np.arange(draws.ppf(_TAIL), max(draws.isf(_TAIL), 2) + 1)  # never without a row that is drawn
            chance = draws.pmf(times)
        mass = chance * (N / scales.size)
        return cls(scales, np.repeat(scales, times.size), np.tile(times, scales.size), np.tile(mass, scales.size), N)

    @property
    def energy(self) -> np.ndarray:
        """What a row carries into the fit, m tau."""
        return self.times * self.tau

    def shares(self, h: float) -> tuple[np.ndarray, np.ndarray]:
        """Return u and 1 - u; at infinite h their limits: u = 1 for every row that carries something."""
        x = self.energy
        rest = (x == 0).astype(float) if math.isinf(h) else 1 / (1 + h * x)
        return (1 - rest if math.isinf(h) else h * x * rest), rest

    def total(self, h: float) -> float:
        """Return the sum of u, the degrees of freedom."""
        return float(self.mass @ self.shares(h)[0])

    def scale(self, total: float) -> float:
        """Return b with N E[v] = total, in a finite population."""
        mean, tau = total / self.N, self.scales
        return _root(lambda b: mean - float(np.mean(b * tau / (1 + b * tau))))

    def solve(self, s: np.ndarray, T: float, lam: float) -> tuple[float, float]:
        """Return h and the effective ridge."""
        if lam == 0:
            distinct = self.total(math.inf)
            if distinct <= s.size * (1 + _ROUND_OFF):
                threshold = distinct >= s.size * (1 - _ROUND_OFF)
                return math.inf, 0.0 if threshold else effective_ridge(Eigenvalues(s), T=distinct, lam=0)
            return _root(lambda h: s.size - self.total(h)), 0.0

        def ridge(h: float) -> float:
            total = self.total(h)
            return lam * h * T / (total if math.isinf(self.N) else self.N * self.scale(total))

        h = _root(lambda h: _degrees(s, ridge(h)) - self.total(h))
        return h, ridge(h)


def clean_fit(s: np.ndarray, tau: np.ndarray, *, T: float, lam: float, population: float = math.inf) -> CleanFit:
    """Return the clean test error of a ridge fit on elliptic rows.

    Args:
        s: Eigenvalues of the covariance, positive, shape (r,).
        tau: Equally likely scales of a row, >= 0 with mean one; ``[1]`` for Gaussian rows.
        T: Rows of the fit, positive.
        lam: Its ridge, >= 0.
        population: Rows of the population that the T rows are drawn from with replacement, and on which the fit is tested;
            infinite: fresh rows.

    Raises:
        DomainError: If the ridge is positive and beyond 1e200 times the largest eigenvalue, or below 1e-200 times it, or the
            rows beyond 1e90, or below 1e-90.

    >>> s = np.ones(50)
    >>> one = clean_fit(s, np.ones(1), T=100, lam=0.0)
    >>> one.noise                                   # d/(T - d)
    1.0
    >>> scales = np.array([0.1, 1.9])
    >>> round(clean_fit(s, scales, T=100, lam=0.0).noise, 4), round(clean_fit(s, scales, T=100, lam=0.1).kappa, 4)
    (2.2942, 0.2852)
    """
    top = float(s.max())
    if lam > 0 and not top / _RANGE <= lam <= top * _RANGE:
        raise DomainError(
            f"lam needs to be 0 or between {top / _RANGE:.3g} and {top * _RANGE:.3g}, 1e200 times the largest eigenvalue "
            f"{top:.3g} either way, got {lam!r}; use lam=0 or rescale the inputs"
        )
    if not 1 / _ROWS <= T <= _ROWS:
        raise DomainError(f"T needs to be between {1 / _ROWS:g} and {_ROWS:g}, got {T!r}; give the rows of a fit")
    rows = _Rows.of(tau, T, population)
    h, kappa = rows.solve(s, T, lam)
    df1 = _degrees(s, kappa)
    delta = float(np.sum((s / (s + kappa)) * (kappa / (s + kappa)))) / df1
    (u, rest), x, mass = rows.shares(h), rows.energy, rows.mass
    live = x > 0
    total = float(mass @ u)
    p = float(mass @ (u * rest)) / total
    r = float(mass[live] @ (u[live] ** 2 / x[live])) / total
    if math.isinf(population):
        G, Nb, q, own = 1.0, total, 1.0, 0.0
    else:
        weight = mass / population
        G = float(weight @ (rows.tau * rest**2))
        own = float(weight[live] @ (u[live] ** 2 / rows.times[live]))
        b = rows.scale(total)
        v = b * tau / (1 + b * tau)
        Nb, q = population * b, float((v / (1 + b * tau)).sum() / v.sum())
    D = p + (1 - p / q) * delta
    if D == 0:  # as many distinct rows as directions, and no ridge: the limit of the bias is 0
        return CleanFit(kappa, 1.0, math.inf)
    # Rows of these scales have delta <= q; other rows may not, and the noise outside the drawn rows is never negative.
    return CleanFit(kappa, G * Nb / (total * D), own + G * r * max(1 - delta / q, 0.0) / D)


def _degrees(s: np.ndarray, kappa: float) -> float:
    return float(np.sum(s / (s + kappa)))


def _root(decreasing: Callable[[float], float]) -> float:
    """Return the positive zero of a decreasing function."""
    low = high = 0.0
    while decreasing(math.exp(low)) < 0:
        low -= _STRIDE
    while decreasing(math.exp(high)) > 0:
        high += _STRIDE
    return math.exp(brentq(lambda x: decreasing(math.exp(x)), low, high, xtol=4e-15, rtol=4 * np.finfo(float).eps))
