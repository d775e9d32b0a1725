r"""The effective ridge as a function defined by its equation.

:math:`\kappa(T,\lambda)\ge0` solves :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T` for the covariance at hand; at
:math:`\lambda=0` it is the limit :math:`\lambda\to0^+`, namely 0 if :math:`T\ge d` and the root of
:math:`\mathrm{df}_1(\kappa)=T` otherwise.
"""

from __future__ import annotations

from typing import Any

from sympy import Dummy, Eq, Expr, Function, S, Symbol, factor

from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.symbols import eigenvalue, kappa

__all__ = ["EffectiveRidge", "ResidualDegrees", "effective_ridge_equation", "shared_degrees"]


def _unexplained(x: Expr, T: Expr, lam: Expr) -> tuple[Expr, Expr]:
    """Return the defining equation ``T (x - lam) = tr g(Sigma; x)`` as the pair (left side, g)."""
    return T * (x - lam), x * eigenvalue / (eigenvalue + x)


def effective_ridge_equation(x: Symbol, T: Expr, lam: Expr) -> Eq:
    r"""Return :math:`\kappa-\lambda=\kappa\,\mathrm{df}_1(\kappa)/T` with the symbol ``x`` for kappa."""
    left, g = _unexplained(x, T, lam)
    return Eq(left / T, SpectralTrace(g) / T, evaluate=False)


class EffectiveRidge(Function):
    r"""The effective ridge :math:`\kappa(T,\lambda)`, an implicit scalar.

    Args:
        T: Number of rows.
        lam: Ridge on the mean squared error.

    The derivatives come from the implicit function theorem:
    :math:`\partial_\lambda\kappa=1/(1-\mathrm{df}_2/T)`,
    :math:`\partial_T\kappa=-(\kappa-\lambda)/(T-\mathrm{df}_2)=-\kappa\,\mathrm{df}_1/[T(T-\mathrm{df}_2)]`.

    >>> from collapse_theory.symbols import T, lam
    >>> EffectiveRidge(T, lam).diff(lam)
    T/ResidualDegrees(T, lam)
    """

    nargs = 2
    is_extended_real = True
    is_nonnegative = True
    is_finite = True
    _diff_wrt = True

    def fdiff(self, argindex: int = 1) -> Expr:
        """Differentiate by the implicit function theorem; ``argindex`` is 1 for T, 2 for lam."""
        x, T, lam = Dummy(positive=True), Dummy(), Dummy()
        left, g = _unexplained(x, T, lam)
        slope = left.diff((T, lam)[argindex - 1])
        # At the root x - lam is tr g / T, which does not cancel where the ridge dominates.
        slope = slope.subs(x - lam, SpectralTrace(g) / T)
        return -slope.xreplace({x: self, T: self.args[0], lam: self.args[1]}) / ResidualDegrees(*self.args)

    @property
    def equation(self) -> Eq:
        """The defining equation, with the symbol ``kappa``."""
        return effective_ridge_equation(kappa, *self.args)

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        return _call(r"\kappa", self.args, printer, exp)


class ResidualDegrees(Function):
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
    is_extended_real = True
    is_nonnegative = True
    is_finite = True

    @staticmethod
    def definition(T: Expr, x: Expr) -> Expr:
        """Return ``T - df2(x)``: the slope in ``x`` of the equation that defines the effective ridge."""
        y, T_, lam_ = Dummy(positive=True), Dummy(), Dummy()
        left, g = _unexplained(y, T_, lam_)
        slope = left.diff(y) - SpectralTrace(factor(g.diff(y)))
        return slope.xreplace({T_: T, y: x})

    def doit(self, **hints: Any) -> Expr:  # noqa: ARG002 - SymPy's signature
        """Return the definition."""
        T, lam = self.args
        return self.definition(T, EffectiveRidge(T, lam))

    def fdiff(self, argindex: int = 1) -> Expr:
        """Differentiate the definition."""
        T, lam = Dummy(positive=True), Dummy(nonnegative=True)
        slope = self.definition(T, EffectiveRidge(T, lam)).diff((T, lam)[argindex - 1])
        return slope.xreplace({T: self.args[0], lam: self.args[1]})

    def _latex(self, printer: Any, exp: str | None = None) -> str:
        body = rf"\left({printer.doprint(self.doit())}\right)"
        return body if exp is None else f"{body}^{{{exp}}}"


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
    explained = (_unexplained(x, T, S.Zero)[1] for x in (x1, x2))
    both = factor((next(explained) - next(explained)) / (x1 - x2))
    apart = factor(_unexplained(x2, T, S.Zero)[1].diff(x2) - both)
    change = {x1: EffectiveRidge(T, lam1), x2: EffectiveRidge(T, lam2)}
    M = SpectralTrace(both.xreplace(change))
    return M, ResidualDegrees(T, lam2) + SpectralTrace(apart.xreplace(change))


def _call(head: str, args: tuple[Expr, ...], printer: Any, exp: str | None) -> str:
    inner = ", ".join(printer.doprint(a) for a in args)
    return rf"{head}{'' if exp is None else f'^{{{exp}}}'}\left({inner}\right)"
