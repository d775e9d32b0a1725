r"""The first finite-size correction of a chain of fits, each on Gaussian inputs of its own.

Derivation. Write :math:`S=X^\top X/T`, :math:`\Lambda` for a matrix that is diagonal in the eigenbasis, and
:math:`\Phi(\Lambda)=\mathbb E\log\det(S+\Lambda)`. Its derivatives are the moments that a fit needs: with
:math:`R=(S+\Lambda)^{-1}`,

.. math:: \mathbb E R_{jj}=\partial_j\Phi,\qquad\mathbb E R_{jk}^2=-\partial_j\partial_k\Phi,

and off-diagonal means vanish, because the signs of a Gaussian row's coordinates are independent. For real Gaussian rows

.. math:: \Phi=\Phi_0+\tfrac12\log\big(1-\mathrm{df}_2/T\big)+O(T^{-2}),\qquad
   \mathrm{df}_2=\sum_ip_i^2,\quad p_i=\frac{as_i}{as_i+\Lambda_i},\quad T(1-a)=\sum_ip_i .

Differentiate in :math:`\theta_j=\log\Lambda_j`. With :math:`q=1-p`, :math:`v=pq` and :math:`r=T-\mathrm{df}_2` the fixed point
gives :math:`\partial_j\log a=v_j/r`, hence :math:`\partial_jp_i=v_i(v_j/r-\delta_{ij})`: one rule that differentiates everything.
With

.. math:: \rho=\tfrac1r\sum p_iv_i,\quad u=p-\rho,\quad e=p(2q-p)+2\rho p,\quad
   K=-\rho-2\rho^2-\tfrac1r\sum v_ip_i(2q_i-p_i)

the correction of :math:`\Phi` has the gradient :math:`v_ju_j/r`, and the matrix of its second derivatives is the diagonal
:math:`-v_j(c_ju_j+v_j)/r`, :math:`c=q-p`, plus :math:`v_jv_k(e_j+e_k+K-2u_ju_k)/r^2`. At :math:`\Lambda=\lambda`, where
:math:`p=s/(s+\kappa)`, and for :math:`A=RS=I-\lambda R`, M diagonal:

.. math::
   \mathbb E A_{jj}&=p_j-\tfrac1rv_ju_j,\\
   \mathbb E[A^\top MA]_{jj}&=p_j^2M_j+\tfrac1rv_j\operatorname{tr}vM+\tfrac1rv_jp_j(q_j-2u_j)M_j\\
     &\quad-\tfrac1{r^2}v_j\big[(e_j+K)\operatorname{tr}vM+\operatorname{tr}veM-2u_j\operatorname{tr}vuM\big],\\
   \tfrac1T\operatorname{tr}\mathbb E[M\,RSR]&=\tfrac1r\operatorname{tr}gM-\tfrac1{r^2}\operatorname{tr}gM(e+K+2\rho u),\qquad
     g=s(s+\kappa)^{-2}.

The first terms are the generation operator of the proportional theory. In the last line a factor :math:`T-\mathrm{df}_1`,
which vanishes with the ridge when :math:`T<d`, has been divided out, so all three lines hold at :math:`\lambda=0` too: for
:math:`T<d`, and for :math:`T>d`, where :math:`e+K=-1` and the noise is :math:`\frac1r+\frac1{r^2}` times
:math:`\operatorname{tr}\Sigma^{-1}M`, the beginning of :math:`\frac1{T-d-1}`. Least squares with :math:`T\ge d+2` needs no
expansion: :math:`A=I`, noise :math:`\operatorname{tr}\Sigma^{-1}M/(T-d-1)`. The samples are independent, so the operators
of a chain compose exactly.

The bias :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` is carried as :math:`w_0^\top[\Sigma(1-\mathbb EA)^2+X]w_0`, X what :math:`M_0`
exceeds :math:`\Sigma(\mathbb EA)^2` by, so that a small bias does not cancel. What is left out is of the order of the correction
times :math:`1/(r-1)`: in least squares, where :math:`\frac1{r-1}=\frac1r(1+\frac1r+\frac1{r(r-1)})`, it is that product exactly.

Source: the mean of linear statistics, Bai, Silverstein, CLT for linear spectral statistics of large-dimensional sample
covariance matrices, Annals of Probability 2004. Its derivatives and their composition are ours
(``derivations/chain_correction.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from collapse_theory.core.errors import DomainError
from collapse_theory.numerics.effective_ridge import residual_degrees, solve_effective_ridge
from collapse_theory.numerics.measure import Measure

__all__ = ["ChainCorrection", "Link", "chain_correction"]


@dataclass(frozen=True)
class Link:
    """One fit of a chain, on its own fresh rows labelled by the fit before.

    Attributes:
        T: Rows, positive.
        lam: Ridge on the mean squared error, >= 0.
        sigma: Standard deviation of the label noise, >= 0.
        exact: Whether the formula to be corrected takes this fit, then least squares, exactly already.
    """

    T: float
    lam: float
    sigma: float
    exact: bool = False


@dataclass(frozen=True)
class ChainCorrection:
    """What finite size adds to the proportional error of a chain.

    Attributes:
        value: The correction to be added; 0 where it is not known (``remainder`` is infinite).
        remainder: Size of what the first order leaves out, >= 0; infinite if a fit has at most one residual degree of
            freedom.
        included: What the formula already has beyond the proportional form, from the fits that it takes exactly.
    """

    value: float
    remainder: float
    included: float


def chain_correction(measure: Measure, links: Sequence[Link]) -> ChainCorrection:
    r"""Return the correction to :math:`E=w_0^\top(\Sigma-2u_0+M_0)w_0+\sum_l\sigma_l^2N_l[M_{l+1}]` of a chain.

    Args:
        measure: Eigenvalues and energies of the target; one covariance.
        links: The fits in order, the tested one last; at least one.

    Raises:
        DomainError: If there is no link or no target.

    >>> from collapse_theory.describe.spectra import Isotropic
    >>> from collapse_theory.describe.targets import RandomTarget
    >>> got = chain_correction(Measure.of(Isotropic(10), RandomTarget()), [Link(T=31, lam=0, sigma=1)])
    >>> round(got.value, 12) == round(10 / 20 - 10 / 21, 12), got.remainder
    (True, 0.0)
    """
    if not links or measure.energies is None:
        raise DomainError(f"a chain needs a fit and a target, got {len(links)} fits; pass target=")
    fits = [_Fit.of(measure, link) for link in links]
    if any(f.residual <= 1 for f in fits):
        return ChainCorrection(0.0, math.inf, 0.0)
    plain = _risk(measure, [(f, "proportional") for f in fits])
    given = _risk(
        measure, [(f, "exact" if link.exact else "proportional") for f, link in zip(fits, links, strict=True)]
    )
    base = _risk(measure, [(f, "exact" if f.least_squares else "proportional") for f in fits])
    best = _risk(measure, [(f, "exact" if f.least_squares else "corrected") for f in fits])
    scale = max((1 / (f.residual - 1) for f in fits if not f.least_squares), default=0.0)
    expanded = sum(abs(b - a) for a, b in zip(base, best, strict=True))
    return ChainCorrection(sum(best) - sum(given), scale * expanded, sum(given) - sum(plain))


@dataclass(frozen=True)
class _Fit:
    """The scalars of one fit, in the letters of the module's derivation."""

    measure: Measure
    T: float
    sigma: float
    kappa: float
    residual: float
    least_squares: bool

    @classmethod
    def of(cls, measure: Measure, link: Link) -> _Fit:
        problem = (measure, np.array([float(link.T)]), np.array([float(link.lam)]))
        kappa = solve_effective_ridge(*problem)
        residual = float(residual_degrees(*problem, kappa)[0])
        exact = link.lam == 0 and measure.rank + 2 <= link.T
        return cls(measure, link.T, link.sigma, float(kappa[0]), residual, exact)

    def trace(self, f: np.ndarray) -> float:
        return float(self.measure.trace(f))

    @property
    def s(self) -> np.ndarray:
        return self.measure.nodes

    @cached_property
    def p(self) -> np.ndarray:
        return self.s / (self.s + self.kappa)

    @cached_property
    def q(self) -> np.ndarray:
        return self.kappa / (self.s + self.kappa)

    @cached_property
    def v(self) -> np.ndarray:
        return self.p * self.q

    @cached_property
    def rho(self) -> float:
        return self.trace(self.p * self.v) / self.residual

    @cached_property
    def u(self) -> np.ndarray:
        return self.p - self.rho

    @cached_property
    def e(self) -> np.ndarray:
        return self.p * (2 * self.q - self.p) + 2 * self.rho * self.p

    @cached_property
    def K(self) -> float:
        fourth = self.trace(self.v * self.p * (2 * self.q - self.p)) / self.residual
        return -self.rho - 2 * self.rho**2 - fourth

    def noise(self, M: np.ndarray, order: str) -> float:
        """Return the risk, measured by M, per unit of the noise variance."""
        if order == "exact":
            return self.trace(M / self.s) / (self.T - self.measure.rank - 1)
        gM, r = M * self.s / (self.s + self.kappa) ** 2, self.residual
        out = self.trace(gM) / r
        return (
            out if order == "proportional" else out - self.trace(gM * (self.e + self.K + 2 * self.rho * self.u)) / r**2
        )

    def lost(self, order: str) -> np.ndarray:
        """Return ``1 - E A``; least squares loses nothing, its q and v are 0."""
        return self.q if order == "proportional" else self.q + self.v * self.u / self.residual

    def excess(self, square: np.ndarray, X: np.ndarray, order: str) -> np.ndarray:
        """Return what ``E[A M A]`` exceeds ``square * (E A)^2`` by, for ``M = square + X``."""
        if order == "exact":
            return X
        p, q, v, u, e, r = self.p, self.q, self.v, self.u, self.e, self.residual
        M = square + X
        vM = self.trace(v * M)
        out = p**2 * X + v * vM / r
        if order == "corrected":
            veM, vuM = self.trace(v * e * M), self.trace(v * u * M)
            out = out + v * p * (q - 2 * u) / r * X + square * v**2 / r * (1 - u**2 / r)
            out = out - v / r**2 * ((e + self.K) * vM + veM - 2 * u * vuM)
        return out


def _risk(measure: Measure, fits: Sequence[tuple[_Fit, str]]) -> tuple[float, float]:
    """Return bias and variance, backwards from ``M = Sigma = square + X`` with ``square = s (E A)^2``."""
    s = measure.nodes
    mean, lost, X, variance = np.ones_like(s), np.zeros_like(s), np.zeros_like(s), 0.0
    for fit, order in reversed(fits):
        square = s * mean**2
        variance += fit.sigma**2 * fit.noise(square + X, order)
        X = fit.excess(square, X, order)
        loss = fit.lost(order)
        lost, mean = lost + mean * loss, mean * (1 - loss)
    return float(measure.form(s * lost**2 + X)), variance
