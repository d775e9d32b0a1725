r"""A chain of fits by spectral filters: the generation operator as a contour integral.

A fit :math:`\hat w=h(S)X^\top y/T`, :math:`S=X^\top X/T`, with :math:`f(x)=xh(x)` analytic around the spectrum of S and
:math:`f(0)=0` is by Cauchy an integral over resolvents, and each of them has the equivalents of :mod:`.operator` at the ridge
:math:`-z`:

.. math:: f(S)=\oint\frac{f(z)}z\,(-z)(S-z)^{-1}\frac{dz}{2\pi i},\qquad
   (-z)(S-z)^{-1}\simeq c(z),\quad c(z)=\kappa(z)\,(\Sigma+\kappa(z))^{-1}.

The product of two at different ridges is :math:`c_1c_2` times what M and the other rows make of it,

.. math:: \mathcal G[M]=\mathbb E[f(S)Mf(S)]\simeq\oint\!\!\oint\frac{f(z_1)f(z_2)}{z_1z_2}\,c_1c_2
   \Big[M+\Sigma\,\frac{\operatorname{tr}M\Sigma(\Sigma+\kappa_1)^{-1}(\Sigma+\kappa_2)^{-1}}
   {T-\operatorname{tr}\Sigma^2(\Sigma+\kappa_1)^{-1}(\Sigma+\kappa_2)^{-1}}\Big]\frac{dz_1\,dz_2}{(2\pi i)^2},\qquad
   A=\mathbb Ef(S)\simeq\oint\frac{f(z)}z\,c(z)\frac{dz}{2\pi i},

and the noise of the labels, per unit of its variance, adds
:math:`a'[M]=\frac1T\operatorname{tr}M\,\mathbb E[h(S)^2S]\simeq\frac1T\operatorname{tr}M\oint\frac{f(z)^2}{z^2}\,c(z)
\frac{dz}{2\pi i}`. A ridge is the residue at :math:`z=-\lambda`. Fits on samples of their own compose as in :mod:`.labeller`: bias
:math:`w_0^\top(\Sigma-2u_0+M_0)w_0`, variance :math:`\sum_l\sigma_l^2a'_l`.

Source: Ali, Kolter, Tibshirani, A continuous-time view of early stopping for least squares, AISTATS 2019 (one fit); the operator
for chains is ours (``derivations/early_stopping.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sympy import Expr, S, Symbol, Tuple
from sympy.core.symbol import Str

from collapse_theory.algebra.effective import shared_trace
from collapse_theory.algebra.integrals import SpectralTrace
from collapse_theory.derive.labeller_scalars import BlockScalar
from collapse_theory.describe.filters import Filter, GradientDescent, GradientFlow
from collapse_theory.describe.nodes import Fit
from collapse_theory.symbols import eigenvalue as s

__all__ = ["RIDGE", "FilterBias", "FilterScalar", "FilterVariance", "filter_scalars", "response_at_two"]

RIDGE = "Ridge"
"""The name of a block that is fitted with a ridge, where others have the name of their filter."""


def response_at_two(M: Expr, T: Expr, first: Symbol, second: Symbol) -> Expr:
    r"""Return what the rows make of M between resolvents at two effective ridges; at equal ones what :mod:`.operator` has.

    >>> from collapse_theory.symbols import T, kappa, indexed
    >>> response_at_two(s, T, kappa, kappa)
    tr[Sigma**2/(Sigma + kappa)**2]/(T - tr[Sigma**2/(Sigma + kappa)**2])
    """
    seen = s / ((s + first) * (s + second))
    return SpectralTrace(M * seen) / (T - shared_trace(first, second))


class FilterScalar(BlockScalar):
    """Base: a scalar of a chain of blocks ``(T, (name, *parameters), sigma, count)``, the tested fit last."""

    @property
    def ridges(self) -> tuple[Expr, ...]:
        """None: the effective ridges are functions on a contour."""
        return ()

    @property
    def both(self) -> tuple[Expr, Expr]:
        """The bias and the variance of the chain."""
        return FilterBias(*self.args), FilterVariance(*self.args)

    def learned(self, i: int, z: Expr) -> Expr:
        r"""Return :math:`f(z)` of the i-th block, from 1; that of a ridge is :math:`z/(z+\lambda)`.

        >>> from collapse_theory.symbols import T, n, sigma, t, lam
        >>> chain = FilterBias((T, (Str("GradientFlow"), t), sigma, n), (T, (Str(RIDGE), lam), sigma, 1))
        >>> chain.learned(1, s), chain.learned(2, s)
        (1 - exp(-Sigma*t), Sigma/(Sigma + lam))
        """
        name, *parameters = self.args[i - 1][1]
        if str(name) == RIDGE:
            return z / (z + parameters[0])
        kinds: dict[str, type[Filter]] = {kind.__name__: kind for kind in (GradientFlow, GradientDescent)}
        return kinds[str(name)](*parameters).learned(z)

    def doit(self, **_hints: Any) -> Expr:
        """Return the scalar itself: it is an integral over a contour."""
        return self


class FilterBias(FilterScalar):
    r"""The bias :math:`w_0^\top(\Sigma-2u_0+M_0)w_0` of the last fit of a chain.

    >>> from collapse_theory.symbols import T, n, sigma, t
    >>> FilterBias((T, (Str("GradientFlow"), t), sigma, n)).free_symbols == {T, t, sigma, n}
    True
    """

    part = 0

    def _tex(self, printer: Any) -> tuple[str, str]:
        return self._bias(printer), ""


class FilterVariance(FilterScalar):
    r"""The variance :math:`\sum_l\sigma_l^2a'_l` of the last fit of a chain."""

    part = 1

    def _tex(self, printer: Any) -> tuple[str, str]:
        return self._variance(printer), ""


def filter_scalars(fits: Sequence[Fit]) -> tuple[Expr, Expr]:
    """Return bias and variance of the last of fits that :func:`.filtered_chain` accepts, equal neighbours in one block."""
    blocks = [(fit, len(list(equal))) for fit, equal in groupby(map(_block, fits))]
    return FilterBias(*((T, how, sigma, S(count)) for (T, how, sigma), count in blocks)).both


def _block(fit: Fit) -> tuple[Expr, Tuple, Expr]:
    sample, weight = fit.samples[0], fit.weights[0]
    noise = sample.noise or S.Zero
    if fit.filter is None:
        return sample.T, Tuple(Str(RIDGE), (fit.ridge or S.Zero) / weight), noise
    return sample.T, Tuple(Str(type(fit.filter).__name__), *scaled(fit.filter, weight)), noise


def scaled(how: Filter, weight: Expr) -> tuple[Expr, ...]:
    """Return the parameters of a filter of the mean squared error times a weight: time, or step size, times that."""
    first, *rest = how.parameters
    return (first * weight, *rest)
