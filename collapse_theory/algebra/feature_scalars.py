r"""Ridge regression on random features: two effective ridges, one for the rows and one for the features.

Features :math:`S^\top x`, with i.i.d. :math:`N(0,1/m)` entries of the :math:`d\times m` matrix S, have the covariance
:math:`S^\top\Sigma S`, whose spectrum is that of a sample covariance with m rows. The fit sees them with its own effective ridge
:math:`\kappa_1`, and they see the inputs with :math:`\kappa`:

.. math:: \kappa_1-\lambda=\kappa_1\,\mathrm{df}_1(\kappa)/T,\qquad\kappa-\kappa_1=\kappa\,\mathrm{df}_1(\kappa)/m.

This is the coupled pair of Adlam and Pennington in other variables: rows and features enter alike,
:math:`\lambda=\kappa(1-\mathrm{df}_1/T)(1-\mathrm{df}_1/m)`.

Source: Adlam, Pennington, The Neural Tangent Kernel in High Dimensions, 2020; Bach, High-dimensional analysis of double
descent for linear regression with random projections, SIAM Journal on Mathematics of Data Science 2024.
"""

from __future__ import annotations

from typing import Any

from sympy import Add, Dummy, Eq, Expr, Symbol, cancel, div, factor

from collapse_theory.algebra.effective import EffectiveRidge, ImplicitRidge, Residual, ResidualDegrees
from collapse_theory.algebra.integrals import SpectralTrace, df
from collapse_theory.algebra.opaque import called
from collapse_theory.symbols import eigenvalue

__all__ = ["FeatureResidual", "FeatureRidge", "feature_ridge_equation", "misfit", "response"]


def _explained(m: Expr, x: Expr) -> Expr:
    """Return ``df1`` of the features at the ridge ``x``: ``df1`` of the inputs at the effective ridge of m rows."""
    return df(1, EffectiveRidge(m, x))


def feature_ridge_equation(x: Symbol, kappa: Symbol, T: Expr, lam: Expr) -> Eq:
    r"""Return :math:`\kappa_1-\lambda=\kappa_1\,\mathrm{df}_1(\kappa)/T` with the symbols ``x`` and ``kappa``."""
    return Eq(x - lam, x * df(1, kappa) / T, evaluate=False)


class FeatureRidge(ImplicitRidge):
    r"""The effective ridge of a fit on random features, the root of :math:`T(\kappa_1-\lambda)=\kappa_1\,\mathrm{df}_1(\kappa)`.

    Here :math:`\kappa=\kappa(m,\kappa_1)` is the effective ridge of the inputs.

    Args:
        T: Number of rows.
        m: Number of features.
        lam: Ridge on the mean squared error.

    >>> from collapse_theory.symbols import T, lam, m
    >>> FeatureRidge(T, m, lam).diff(lam)
    T/FeatureResidual(T, m, lam)
    """

    nargs = 3

    @staticmethod
    def explained(x: Expr, *between: Expr) -> Expr:
        r"""Return :math:`\kappa_1\,\mathrm{df}_1(\kappa)`."""
        return x * _explained(between[0], x)

    @property
    def residual(self) -> Expr:
        r""":math:`T` less the :math:`\mathrm{df}_2` of the features."""
        return FeatureResidual(*self.args)

    def _tex(self, printer: Any) -> tuple[str, str]:
        return called(r"\kappa_{1}", self.args, printer)


class FeatureResidual(Residual):
    r"""The residual degrees of freedom of a fit on random features, T less the :math:`\mathrm{df}_2` of the features.

    One object rather than a difference: numerically it is a sum of positive terms,
    :math:`(T-\mathrm{df}_1)+m\kappa_1\operatorname{tr}[\Sigma(\Sigma+\kappa)^{-2}]/(m-\mathrm{df}_2(\kappa))`.

    Args:
        T: Number of rows.
        m: Number of features.
        lam: Ridge on the mean squared error.
    """

    nargs = 3

    @classmethod
    def definition(cls, *args: Expr) -> Expr:
        """Return the difference."""
        T, m, _ = args
        return T - response(m, FeatureRidge(*args))


def response(m: Expr, x: Expr) -> Expr:
    r"""Return :math:`\mathrm{df}_2` of the features at their effective ridge ``x``, in the inputs' degrees of freedom.

    With M the features' covariance, :math:`\operatorname{tr}M^2(M+x)^{-2}=\mathrm{df}_1+x\,\partial_x\mathrm{df}_1`.

    Args:
        m: Number of features.
        x: Their effective ridge.

    >>> from collapse_theory.symbols import kappa, m
    >>> response(m, kappa).has(ResidualDegrees)
    True
    """
    ridge, rows = Dummy(positive=True), _symbol_for(m)
    explained = _explained(rows, ridge)
    return Add(*_regular(explained + ridge * explained.diff(ridge), rows, ridge)).xreplace({ridge: x, rows: m})


def misfit(m: Expr, x: Expr) -> tuple[Expr, Expr]:
    r"""Return the error of the features at ridge ``x`` and infinitely many rows, :math:`w_0^\top(g_\infty+g_m)(\Sigma)w_0`.

    :math:`g_\infty` is left for :math:`m\to\infty`.
    With :math:`u=\Sigma^{1/2}w_0` it is :math:`x^2u^\top(M+x)^{-2}u=-x^2\partial_x\,u^\top(M+x)^{-1}u`, and
    :math:`x(M+x)^{-1}\simeq\kappa(\Sigma+\kappa)^{-1}`.

    Args:
        m: Number of features.
        x: Their effective ridge.
    """
    ridge, rows = Dummy(positive=True), _symbol_for(m)
    kappa = EffectiveRidge(rows, ridge)
    resolvent = kappa / ridge / (eigenvalue + kappa)
    whole, rest = _regular(-(ridge**2) * (eigenvalue * resolvent).diff(ridge), rows, ridge)
    at = {ridge: x, rows: m}
    return whole.xreplace(at), rest.xreplace(at)


def _symbol_for(m: Expr) -> Expr:
    """Return a symbol for a number of features, which would be lost among other numbers."""
    return Dummy(positive=True) if m.is_number else m


def _regular(e: Expr, m: Expr, x: Expr) -> tuple[Expr, Expr]:
    r"""Return ``e`` without differences: the part left for :math:`m\to\infty`, and a part over :math:`m-\mathrm{df}_2`.

    Both are read off a division by :math:`m-\mathrm{df}_2`, after :math:`x` is written :math:`\kappa(1-\mathrm{df}_1/m)`.
    """
    kappa, rows = EffectiveRidge(m, x), Dummy("m")
    k, df2, apart = Dummy("kappa"), Dummy("df2"), Dummy("df1-df2")
    pole = SpectralTrace(eigenvalue / (eigenvalue + kappa) ** 2)
    named = e.xreplace({pole: apart / k, df(1, kappa): df2 + apart, ResidualDegrees(m, x): rows - df2})
    named = named.xreplace({kappa: k}).xreplace({x: k * (1 - (df2 + apart) / rows), m: rows})
    quotient, rest = div(cancel(named * (rows - df2)), rows - df2, rows)
    back = {apart: k * pole, df2: df(2, kappa)}
    whole, part = (factor(y).xreplace(back).xreplace({k: kappa}) for y in (quotient, rest))
    return whole, part / ResidualDegrees(m, x)
