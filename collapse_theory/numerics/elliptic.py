r"""The clean test error when rows are not Gaussian but elliptic, or drawn with replacement from a finite population.

A row is :math:`x=\sqrt\tau\,\Sigma^{1/2}g` with :math:`\mathbb E\tau=1`; a population of N such rows, each drawn :math:`\nu`
times (Poisson of mean :math:`T/N`), has the covariance :math:`\Sigma=X^\top X/N` that the user sees, and is where the fit is
tested. With :math:`u=h\nu\tau/(1+h\nu\tau)` (:math:`h\nu\tau` is what a row adds to its own prediction),
:math:`v=b\tau/(1+b\tau)` and means over the population,

.. math::
    \mathrm{df}_1(\kappa)=N\,\mathbb Eu=N\,\mathbb Ev,\qquad\kappa=\lambda\,\frac{hT}{Nb}.

Of the rows, the theory keeps :math:`p_u=\mathbb Eu(1-u)/\mathbb Eu`, :math:`p_v`, :math:`G=\mathbb E\,\tau/(1+h\nu\tau)^2` and
:math:`r=\mathbb E[u^2/(\nu\tau)]/\mathbb Eu`. With :math:`\Delta=1-\mathrm{df}_2/\mathrm{df}_1` and
:math:`D=p_u+(1-p_u/p_v)\Delta`,

.. math::
    B=\frac{GNb}{\mathrm{df}_1D}\,\kappa^2w_0^\top\Sigma(\Sigma+\kappa)^{-2}w_0,\qquad
    V=\sigma^2\Big[\mathbb E\frac{u^2}\nu+\frac{Gr(1-\Delta/p_v)}D\Big].

**Where this comes from.** The equivalent of the resolvent of elliptic rows with covariance :math:`\Sigma_\infty` is
:math:`\lambda R\simeq\kappa_\infty(\Sigma_\infty+\kappa_\infty)^{-1}`, :math:`\mathrm{df}_1=N\mathbb Eu`,
:math:`\kappa_\infty=\lambda hT/(N\,\mathbb Eu)`. It holds for all weights of the rows: at weights one it expresses
:math:`\Sigma_\infty` by the population's :math:`\Sigma` (that is :math:`v` and :math:`b`), and since
:math:`S+t\Sigma` is the population with the weights :math:`\nu/T+t/N`, its derivative in t is :math:`R\Sigma R`, hence B. V is
the derivative of :math:`\lambda\operatorname{tr}\Sigma R` in :math:`\lambda`, and :math:`\operatorname{tr}\Sigma R` a sum of
:math:`x_i^\top Rx_i` over the population.

Fresh rows are the limit :math:`N\to\infty`: the sums over drawn rows are T times a mean over :math:`\tau`, :math:`p_v=1`,
:math:`G=1`, :math:`Nb=\mathrm{df}_1`, :math:`\mathbb Eu^2/\nu=0`. Then :math:`\kappa=\lambda/\mathbb E[\tau/(1+h\tau)]`, least
squares has the error :math:`\sigma^2h`, and at :math:`\tau=1` everything is the Gaussian theory. All terms are sums of
positive ones: nothing cancels at a small ridge.

Source: elliptic rows, El Karoui, Concentration of measure and spectra of random matrices: applications to correlation
matrices, elliptical distributions and beyond, Annals of Applied Probability 2009. The finite population is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.effective_ridge import solve_effective_ridge
from collapse_theory.numerics.measure import COMMON, Measure
from collapse_theory.numerics.newton import find_root

__all__ = ["CleanFit", "clean_fit"]

_TAIL = 1e-13  # share of the draws that the table of multiplicities leaves out
_OFTEN = 1000.0  # mean number of draws of a row from which they are as good as normal
_RANGE = 1e200  # of the ridge over the largest eigenvalue, both ways: beyond, float64 has no room for the products
_ROWS = 1e90
_ROUND_OFF = 1e-12


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
    """The law of the rows: values of (tau, nu) and how many rows have them.

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
            mean = T / N
            times = np.arange(mean + 20 * math.sqrt(mean) + 30)  # Poisson draws; far above where the tail is cut
            first = np.searchsorted(special.pdtr(times, mean), _TAIL)
            last = max(
                int(np.searchsorted(-special.pdtrc(times, mean), -_TAIL)), 2
            )  # never without a row that is drawn
            times = times[first : last + 1]
            chance = np.exp(special.xlogy(times, mean) - mean - special.gammaln(times + 1))
        mass = chance * (N / scales.size)
        return cls(scales, np.repeat(scales, times.size), np.tile(times, scales.size), np.tile(mass, scales.size), N)

    @property
    def energy(self) -> np.ndarray:
        """What a row carries into the fit, nu tau."""
        return self.times * self.tau

    def shares(self, h: float) -> tuple[np.ndarray, np.ndarray]:
        """Return u and 1 - u; at infinite h their limits: u = 1 for every row that carries something."""
        x = self.energy
        rest = (x == 0).astype(float) if math.isinf(h) else 1 / (1 + h * x)
        return (1 - rest if math.isinf(h) else h * x * rest), rest

    def total(self, h: float) -> float:
        """Return the sum of u, the degrees of freedom."""
        return float(self.mass @ self.shares(h)[0])

    def kept(self, h: float, total: float) -> float:
        """Return p_u."""
        u, rest = self.shares(h)
        return float(self.mass @ (u * rest)) / total

    def survival(self, b: float) -> float:
        """Return p_v."""
        v = b * self.scales / (1 + b * self.scales)
        return float((v / (1 + b * self.scales)).sum() / v.sum())

    def scale(self, total: float) -> float:
        """Return b with N E[v] = total, in a finite population: 1/b is the effective ridge of as many rows on the scales."""
        each = self.N / self.scales.size
        most = (
            np.count_nonzero(self.scales) * each * (1 - np.finfo(float).eps)
        )  # round-off may take the last share for one
        return 1 / _ridge(self.scales, np.full(self.scales.size, each), min(total, most))

    def solve(self, measure: Measure, T: float, lam: float) -> tuple[float, float]:
        """Return h and the effective ridge.

        Raises:
            ConvergenceError: If the iteration does not settle.
        """
        if lam > 0:
            equation = _PredictionEquation(self, measure, T, lam)
            h = find_root(equation).checked(f"the rows at T={T!r}, lam={lam!r}", "give another ridge")[0]
            return float(h), equation.ridge(float(h))[0]
        distinct, rank = self.total(math.inf), measure.rank
        if distinct > rank * (
            1 + _ROUND_OFF
        ):  # 1/h is the effective ridge of as many rows as directions on the energies
            return 1 / _ridge(self.energy, self.mass, rank), 0.0
        threshold = distinct >= rank * (1 - _ROUND_OFF)
        return math.inf, 0.0 if threshold else _ridge(measure.nodes, measure.counts, distinct)


def _ridge(nodes: np.ndarray, counts: np.ndarray, T: float) -> float:
    """Return the effective ridge of T rows without a ridge."""
    measure = Measure({COMMON: nodes}, counts).at_covariance(None)
    return float(solve_effective_ridge(measure, np.array([float(T)]), np.zeros(1))[0])


@dataclass(frozen=True)
class _PredictionEquation:
    r"""The equation of h, by which a row of scale one adds to its own prediction.

    .. math:: f(h)=h\Big(1-\frac{\mathrm{df}_1(\kappa)}{U(h)}\Big)=0,\qquad U(h)=N\,\mathbb Eu,\qquad
       \kappa(h)=\lambda\frac{hT}{Nb},\quad N\,\mathbb Ev=U,\qquad f'=1-\frac{\mathrm{df}_1}U(1-D).

    **Start.** For fresh rows :math:`Nb=U` and :math:`f=h-\kappa\,\mathrm{df}_1(\kappa)/(\lambda T)`. There :math:`\kappa` is the
    harmonic mean of :math:`\lambda(1/\tau+h)`, and :math:`\kappa\,\mathrm{df}_1=\sum_js_j\kappa/(s_j+\kappa)`: increasing and
    concave both, so that f is convex. :math:`\kappa\,\mathrm{df}_1\le\operatorname{tr}\Sigma` puts the root below
    :math:`\operatorname{tr}\Sigma/(\lambda T)`, from where the iteration descends monotonically. A finite population starts there
    too, with no bound known, and the bracket opens as far as it must.
    """

    rows: _Rows
    measure: Measure
    T: float
    lam: float

    @property
    def bracket(self) -> tuple[np.ndarray, np.ndarray]:
        """Zero, and the upper end of fresh rows."""
        return np.zeros(1), np.array([float(self.measure.trace(self.measure.nodes)) / self.lam / self.T])

    def ridge(self, h: float) -> tuple[float, float, float]:
        """Return the effective ridge, U and p_v."""
        rows, total = self.rows, self.rows.total(h)
        if math.isinf(rows.N):
            return self.lam * h * self.T / total, total, 1.0
        b = rows.scale(total)
        return self.lam * h * self.T / (rows.N * b), total, rows.survival(b)

    def local(self, x: np.ndarray, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:  # noqa: ARG002 - few rows, one sum
        """Return residual and slope."""
        h = float(x[0])
        kappa, total, q = self.ridge(h)
        df1, delta = _degrees(self.measure, kappa)
        p = self.rows.kept(h, total)
        ratio = df1 / total
        return x * (1 - ratio), np.array([1 - ratio * (1 - p - (1 - p / q) * delta)])

    def among(self, places: np.ndarray) -> _PredictionEquation:  # noqa: ARG002 - there is one
        """Return the equation."""
        return self


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
    measure = Measure({COMMON: s}, np.ones(s.size, dtype=int))
    h, kappa = rows.solve(measure, T, lam)
    _, delta = _degrees(measure, kappa)
    (u, rest), x, mass = rows.shares(h), rows.energy, rows.mass
    live = x > 0
    total = float(mass @ u)
    p = rows.kept(h, total)
    r = float(mass[live] @ (u[live] ** 2 / x[live])) / total
    if math.isinf(population):
        G, Nb, q, own = 1.0, total, 1.0, 0.0
    else:
        weight = mass / population
        G = float(weight @ (rows.tau * rest**2))
        own = float(weight[live] @ (u[live] ** 2 / rows.times[live]))
        b = rows.scale(total)
        Nb, q = population * b, rows.survival(b)
    D = p + (1 - p / q) * delta
    if D == 0:  # as many distinct rows as directions, and no ridge: the limit of the bias is 0
        return CleanFit(kappa, 1.0, math.inf)
    # Rows of these scales have delta <= q; other rows may not, and the noise outside the drawn rows is never negative.
    return CleanFit(kappa, G * Nb / (total * D), own + G * r * max(1 - delta / q, 0.0) / D)


def _degrees(measure: Measure, kappa: float) -> tuple[float, float]:
    """Return the degrees of freedom and what the ridge takes of them once more, ``1 - df2/df1``."""
    share = measure.nodes / (measure.nodes + kappa)
    df1 = float(measure.trace(share))
    return df1, float(measure.trace(share * (kappa / (measure.nodes + kappa)))) / df1
