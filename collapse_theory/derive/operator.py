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

Source: Rubio, Mestre, Spectral convergence for a general class of random matrices, Statistics and Probability Letters 2011 (the
primitive); Dohmatob, Feng, Kempe 2024 (one generation); the composition over generations is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sympy import Dummy, Expr, S, cancel, factor

from collapse_theory.algebra.effective import EffectiveRidge, ResidualDegrees, residual_degrees
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.symbols import eigenvalue as s

__all__ = ["Generation", "response", "shrinkage"]


@dataclass(frozen=True)
class Generation:
    """One fit on its own fresh sample: rows, ridge, label noise."""

    T: Expr
    lam: Expr
    sigma: Expr

    @property
    def kappa(self) -> Expr:
        """Its effective ridge."""
        return EffectiveRidge(self.T, self.lam)


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
    return SpectralTrace(weight.xreplace({kappa: stage.kappa}) * M) / ResidualDegrees(stage.T, stage.lam)


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
