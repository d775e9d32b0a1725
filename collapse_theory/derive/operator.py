r"""The generation operator: one fit on an independent sample, seen backwards.

Derivation. Let :math:`S=X^\top X/T`, :math:`R=(S+\lambda)^{-1}`, :math:`A=RS=I-\lambda R`. The one primitive is the first-order
equivalent with a general deterministic regulariser :math:`\Lambda`,

.. math:: (S+\Lambda)^{-1}\simeq D^{-1},\quad D=a\Sigma+\Lambda,\quad a\,\big(1+\tfrac1T\operatorname{tr}\Sigma D^{-1}\big)=1,

where :math:`\Lambda=\lambda` gives :math:`\lambda R\simeq\kappa(\Sigma+\kappa)^{-1}` with :math:`\kappa=\lambda/a`.
Differentiating at :math:`\Lambda=\lambda+zM` gives, with the *response* :math:`a'=da/dz|_0`, that
:math:`RMR\simeq D^{-1}(M+a'\Sigma)D^{-1}`. Hence

.. math:: \mathcal G[M]=\mathbb E[A^\top MA]\simeq\Sigma^2(\Sigma+\kappa)^{-2}M+\kappa^2a'\,\Sigma(\Sigma+\kappa)^{-2},
   \qquad \tfrac1T\operatorname{tr}[M\,RSR]\simeq a',

the second from :math:`RSR=R-\lambda R^2`. :func:`response` differentiates the fixed point; nothing else is needed.

**Random features.** A fit on :math:`F^\top x`, with i.i.d. :math:`N(0,1/m)` entries of the :math:`d\times m` matrix F, is one
in the space of the features, whose covariance is :math:`F^\top\Sigma F`: infinitely many rows at the features' effective ridge
:math:`\kappa_1` are left of the rows (:mod:`collapse_theory.algebra.feature_scalars`). With :math:`W=FF^\top` they give
:math:`Q=(\Sigma+\kappa_1W^{-1})^{-1}\simeq(\Sigma+\kappa)^{-1}`, the primitive with m rows for T, and the fit is :math:`A\simeq
Q\Sigma`. Replacing :math:`\Sigma` by :math:`\Sigma+zM` at one :math:`\kappa_1` moves :math:`\kappa` by the *drift*
:math:`\kappa'=d\kappa/dz|_0` (:func:`drift`), so that :math:`QMQ\simeq(\Sigma+\kappa)^{-1}(M+\kappa'[M])(\Sigma+\kappa)^{-1}`.
The features miss :math:`\kappa_1^2(\tilde M+\kappa_1)^{-2}` of the labels, :math:`\tilde M=\Sigma^{1/2}W\Sigma^{1/2}`, and
since :math:`\tilde M(\tilde M+\kappa_1)^{-1}=\Sigma^{1/2}Q\Sigma^{1/2}`, that is :math:`\kappa^2\Sigma(\Sigma+\kappa)^{-2}`
plus :math:`\kappa'[\Sigma]\,\Sigma^2(\Sigma+\kappa)^{-2}`. Hence, with :math:`g=(\Sigma+\kappa)^{-2}`,

.. math:: \mathcal G[M]\simeq\Sigma^2g\,(M+\kappa'[M])+a'[M]\,\big(\kappa^2\Sigma g+\kappa'[\Sigma]\,\Sigma^2g\big),\qquad
   a'[M]=\frac{t[M]}{T-t[\Sigma]},\quad t[M]=\operatorname{tr}M\Sigma g+\kappa'[\Sigma]\operatorname{tr}Mg .

Source: Rubio, Mestre, Spectral convergence for a general class of random matrices, Statistics and Probability Letters 2011 (the
primitive); Dohmatob, Feng, Kempe 2024 (one generation); Bach, High-dimensional analysis of double descent for linear regression
with random projections, 2024 (one fit on features); the composition over generations is ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from sympy import Add, Dummy, Expr, S, cancel, factor

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, residual_degrees
from collapse_theory.algebra.feature_scalars import FeatureResidual, FeatureRidge
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.symbols import eigenvalue as s

__all__ = ["Generation", "drift", "response", "shrinkage", "spread"]


@dataclass(frozen=True)
class Generation:
    """One fit on its own fresh sample: rows, ridge, label noise, and the number of its random features (None: the inputs)."""

    T: Expr
    lam: Expr
    sigma: Expr
    m: Expr | None = None

    @property
    def kappa(self) -> Expr:
        """The effective ridge with which it sees the inputs."""
        return EffectiveRidge(self.T, self.lam) if self.m is None else EffectiveRidge(self.m, self._features)

    @property
    def residual(self) -> Expr:
        """Its residual degrees of freedom."""
        if self.m is None:
            return ResidualDegrees(self.T, self.lam)
        return FeatureResidual(self.T, self.m, self.lam)

    @property
    def left_over(self) -> Expr:
        """The residual degrees of freedom of its features as rows."""
        return ResidualDegrees(self.m, self._features)

    @property
    def _features(self) -> Expr:
        return FeatureRidge(self.T, self.m, self.lam)


def shrinkage(kappa: Expr) -> Expr:
    r"""Return the mean of the fit operator in one eigendirection, :math:`A\simeq I-\lambda R\simeq s/(s+\kappa)`.

    >>> from collapse_theory.symbols import kappa
    >>> shrinkage(kappa)
    Sigma/(Sigma + kappa)
    """
    return s / (s + kappa)


def response(M: Expr, stage: Generation) -> Expr:
    r"""Return :math:`a'`, the response of the fixed point to the regulariser :math:`\lambda+zM`, at :math:`z=0`.

    It is also :math:`\frac1T\operatorname{tr}[M\,RSR]`: the risk, measured by M, per unit of the fit's noise variance.

    Args:
        M: Function of the bound eigenvalue.
        stage: The fit.

    >>> from collapse_theory.symbols import T, lam, sigma
    >>> response(s, Generation(T, lam, sigma))
    tr[Sigma**2/(Sigma + EffectiveRidge(T, lam))**2]/ResidualDegrees(T, lam)
    """
    kappa, weight = _response_weight()
    seen = SpectralTrace(weight.xreplace({kappa: stage.kappa}) * M)
    if stage.m is not None:
        seen += drift(s, stage) * SpectralTrace((weight / s).xreplace({kappa: stage.kappa}) * M)
    return seen / stage.residual


def drift(M: Expr, stage: Generation) -> Expr:
    r"""Return :math:`\kappa'`, what :math:`\kappa` moves by with :math:`\Sigma+zM` for :math:`\Sigma` at one ridge of the features.

    Implicit differentiation of :math:`F=\kappa-\kappa_1-\frac\kappa m\operatorname{tr}(\Sigma+zM)(\Sigma+zM+\kappa)^{-1}`: the
    slope :math:`mF_\kappa` is the residual degrees of freedom of m rows.

    Args:
        M: Function of the bound eigenvalue.
        stage: A fit on features.

    >>> from collapse_theory.symbols import T, lam, m, sigma
    >>> stage = Generation(T, lam, sigma, m)
    >>> drift(s, stage) == stage.kappa**2 * SpectralTrace(s / (s + stage.kappa) ** 2) / stage.left_over
    True
    """
    z, kappa, change = Dummy("z"), Dummy("kappa", positive=True), Dummy("M")
    moved = (kappa * (s + z * change) / (s + z * change + kappa)).diff(z).subs(z, 0)
    weight = factor(moved / (kappa**2 * change))
    return stage.kappa**2 * SpectralTrace(weight.xreplace({kappa: stage.kappa}) * M) / stage.left_over


def spread(M: Iterable[tuple[Expr, Expr]], answer: Expr, stage: Generation) -> list[tuple[Expr, Expr]]:
    r"""Return what :math:`\mathcal G[M]` is beyond :math:`\Sigma^2(\Sigma+\kappa)^{-2}M`: scalars and functions.

    Args:
        M: Scalars and functions of the bound eigenvalue; M is the sum of their products.
        answer: Its response :math:`a'[M]`.
        stage: The fit.
    """
    shape = shrinkage(stage.kappa) ** 2
    out = [(stage.kappa**2 * answer, shape / s)]
    if stage.m is not None:
        moved = Add(*(c * drift(h, stage) for c, h in M))
        out.append((moved + drift(s, stage) * answer, shape))
    return out


@cache
def _response_weight() -> tuple[Expr, Expr]:
    r"""Return :math:`(\kappa,g)` with :math:`a'=\operatorname{tr}[gM]/(T-\mathrm{df}_2)`, by implicit differentiation.

    :math:`F(a,z)=a+\frac1T\operatorname{tr}f-1` with :math:`f=a\Sigma D^{-1}`, at the solution
    :math:`\lambda=a\kappa`, :math:`z=0`.
    """
    a, ridge, kappa = (Dummy(name, positive=True) for name in ("a", "lam", "kappa"))
    z, M, T = Dummy("z"), Dummy("M"), Dummy("T", positive=True)
    f = a * s / (a * s + ridge + z * M)
    at_solution = {ridge: a * kappa, z: S.Zero}
    df_dz = cancel(f.diff(z).subs(at_solution))
    # a T dF/da = a T + a tr df/da, and a T = T - tr f by F = 0: the difference is the residual degrees of freedom.
    explained = cancel((f - a * f.diff(a)).subs(at_solution))
    if T - SpectralTrace(explained) != residual_degrees(T, kappa):
        raise AssertionError("the slope of the fixed point is not T - df2")
    return kappa, factor(-a * df_dz / M)
