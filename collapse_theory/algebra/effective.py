r"""The effective ridge as a function defined by its equation.

:math:`\kappa(T,\lambda)\ge0` solves :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T` for the covariance at hand; at
:math:`\lambda=0` it is the limit :math:`\lambda\to0^+`, namely 0 if :math:`T\ge d` and the root of
:math:`\mathrm{df}_1(\kappa)=T` otherwise.

Source: Hastie, Montanari, Rosset, Tibshirani, Surprises in High-Dimensional Ridgeless Least Squares Interpolation, Annals of
Statistics 2022; Bach, High-dimensional analysis of double descent for linear regression with random projections, SIAM Journal
on Mathematics of Data Science 2024.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sympy import Dummy, Eq, Expr, Symbol, factor

from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.algebra.opaque import OpaqueFunction, called
from collapse_theory.symbols import eigenvalue

__all__ = [
    "EffectiveRidge",
    "ImplicitRidge",
    "Residual",
    "ResidualDegrees",
    "effective_ridge_equation",
    "residual_degrees",
    "shared_degrees",
    "shared_trace",
]


def _explained(x: Expr) -> Expr:
    r"""Return the integrand of :math:`\kappa\,\mathrm{df}_1(\kappa)`."""
    return x * eigenvalue / (eigenvalue + x)


def effective_ridge_equation(x: Symbol, T: Expr, lam: Expr) -> Eq:
    r"""Return :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T` with the symbol ``x`` for kappa."""
    return Eq(x - lam, SpectralTrace(_explained(x)) / T, evaluate=False)


class ImplicitRidge(OpaqueFunction):
    r"""Base: the non-negative root :math:`x(T,\ldots,\lambda)` of :math:`T(x-\lambda)=r(x,\ldots)`.

    With the residual :math:`D=\partial_x[T(x-\lambda)-r]`, the implicit function theorem gives

    .. math:: \partial_\lambda x=\frac TD,\qquad\partial_Tx=-\frac{r}{TD},\qquad\partial_ax=\frac{\partial_ar}D,

    where :math:`x-\lambda=r/T` was used, which does not cancel where the ridge dominates.
    """

    is_nonnegative = True
    is_finite = True
    _diff_wrt = True

    @staticmethod
    def explained(x: Expr, *between: Expr) -> Expr:
        """Return ``r``, at the arguments between the first and the last."""
        raise NotImplementedError

    @property
    def residual(self) -> Expr:
        """``D``, as one object."""
        raise NotImplementedError

    def doit(self, **_hints: Any) -> Expr:
        """Return the root itself: it has no definition but its equation."""
        return self

    def _slope(self, i: int) -> Expr:
        x, own = Dummy(positive=True), tuple(Dummy(positive=True) for _ in self.args)
        T, *between, lam = own
        explained = self.explained(x, *between)
        slope = (T * (x - lam) - explained).diff(own[i]).subs(x - lam, explained / T)
        return -slope.xreplace({x: self, **dict(zip(own, self.args, strict=True))}) / self.residual


class Residual(OpaqueFunction):
    """Base: the residual of an implicit ridge, one object rather than a difference, which cancels near a threshold."""

    is_nonnegative = True
    is_finite = True

    def _tex(self, printer: Any) -> tuple[str, str]:
        return rf"\left({printer.doprint(self.doit())}\right)", ""


class EffectiveRidge(ImplicitRidge):
    r"""The effective ridge :math:`\kappa(T,\lambda)`, the root of :math:`T(\kappa-\lambda)=\kappa\,\mathrm{df}_1(\kappa)`.

    Args:
        T: Number of rows.
        lam: Ridge on the mean squared error.

    Its derivatives are :math:`\partial_\lambda\kappa=1/(1-\mathrm{df}_2/T)` and
    :math:`\partial_T\kappa=-(\kappa-\lambda)/(T-\mathrm{df}_2)=-\kappa\,\mathrm{df}_1/[T(T-\mathrm{df}_2)]`.

    >>> from collapse_theory.symbols import T, lam
    >>> EffectiveRidge(T, lam).diff(lam)
    T/ResidualDegrees(T, lam)
    """

    nargs = 2

    @staticmethod
    def explained(x: Expr, *between: Expr) -> Expr:
        r"""Return :math:`\kappa\,\mathrm{df}_1(\kappa)`."""
        del between
        return SpectralTrace(_explained(x))

    @property
    def residual(self) -> Expr:
        r""":math:`T-\mathrm{df}_2(\kappa)`."""
        return ResidualDegrees(*self.args)

    def _tex(self, printer: Any) -> tuple[str, str]:
        return called(r"\kappa", self.args, printer)


class ResidualDegrees(Residual):
    r"""The residual degrees of freedom :math:`T-\mathrm{df}_2(\kappa(T,\lambda))`.

    One object rather than a difference, because near :math:`T=d` the difference cancels; numerically it is evaluated in
    complement form, :math:`T\lambda/\kappa+\kappa\operatorname{tr}\Sigma(\Sigma+\kappa)^{-2}`, which is a sum of positive terms.

    Args:
        T: Number of rows.
        lam: Ridge on the mean squared error.

    >>> from collapse_theory.algebra.integrals import df
    >>> from collapse_theory.symbols import T, lam
    >>> ResidualDegrees(T, lam).doit() == T - df(2, EffectiveRidge(T, lam))
    True
    """

    nargs = 2

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        r"""Return :math:`T-\mathrm{df}_2(\kappa)`."""
        return residual_degrees(args[0], EffectiveRidge(*args))


def residual_degrees(T: Expr, x: Expr) -> Expr:
    """Return ``T - df2(x)``: the slope in ``x`` of the equation that defines the effective ridge."""
    y, responding = _responding()
    return T - responding.xreplace({y: x})


@lru_cache(maxsize=1)
def _responding() -> tuple[Dummy, Expr]:
    r"""Return a variable and the derivative of :math:`\kappa\,\mathrm{df}_1(\kappa)` there."""
    y = Dummy(positive=True)
    return y, SpectralTrace(factor(_explained(y).diff(y)))


def shared_degrees(T: Expr, lam1: Expr, lam2: Expr) -> tuple[Expr, Expr]:
    r"""Return :math:`M` and :math:`T-M`, the degrees of freedom that two ridges on one design share.

    Subtracting the equations of :math:`\kappa_1` and :math:`\kappa_2` gives :math:`(\kappa_1-\kappa_2)(T-M)=T(\lambda_1-\lambda_2)`
    with :math:`M=\operatorname{tr}\Sigma^2(\Sigma+\kappa_1)^{-1}(\Sigma+\kappa_2)^{-1}`, and hence the equivalent of a
    product of two resolvents. :math:`T-M` is returned as :math:`(T-\mathrm{df}_2(\kappa_2))+\mathrm{df}_2(\kappa_2)-M`,
    which does not cancel for :math:`\lambda_1\ge\lambda_2`.

    Args:
        T: Number of rows.
        lam1: The larger ridge.
        lam2: The smaller ridge.

    >>> from collapse_theory.symbols import T, lam
    >>> shared_degrees(T, lam, lam)[1]
    ResidualDegrees(T, lam)
    """
    x1, x2 = Dummy(positive=True), Dummy(positive=True)
    both = _explained_by_both(x1, x2)
    apart = factor(_explained(x2).diff(x2) - both)
    change = {x1: EffectiveRidge(T, lam1), x2: EffectiveRidge(T, lam2)}
    M = SpectralTrace(both.xreplace(change))
    return M, ResidualDegrees(T, lam2) + SpectralTrace(apart.xreplace(change))


def shared_trace(x1: Expr, x2: Expr) -> Expr:
    r"""Return :math:`\operatorname{tr}\Sigma^2(\Sigma+x_1)^{-1}(\Sigma+x_2)^{-1}`, the degrees of freedom that two ridges share.

    >>> from collapse_theory.symbols import kappa
    >>> shared_trace(kappa, kappa)
    tr[Sigma**2/(Sigma + kappa)**2]
    """
    first, second = Dummy(positive=True), Dummy(positive=True)
    return SpectralTrace(_explained_by_both(first, second).xreplace({first: x1, second: x2}))


def _explained_by_both(x1: Expr, x2: Expr) -> Expr:
    r"""Return the divided difference of :math:`\kappa\,\mathrm{df}_1` under the trace."""
    return factor((_explained(x1) - _explained(x2)) / (x1 - x2))
