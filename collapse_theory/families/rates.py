r"""Rates of collapse under replacement: exponential in generations, polynomial in sample size.

The chain's eigenvalues are ``lambda_j = prod_{i<j} (1 - i/T)``; diversity and the chance of not having collapsed decay like
``lambda_2^m = (1 - 1/T)^m``, a token's deviation from this single rate like ``(lambda_3/lambda_2)^m = (1 - 2/T)^m``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sympy import Dummy, Expr, Float, Product, S, log

from collapse_theory import symbols
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw

__all__ = ["CollapseRates", "eigenvalue"]


def eigenvalue(j: int, T: Expr = symbols.T) -> Expr:
    """Return the j-th eigenvalue of the chain, ``prod_{i<j} (1 - i/T)``, with multiplicity one for j >= 2.

    >>> eigenvalue(3)
    (1 - 2/T)*(1 - 1/T)
    """
    i = Dummy("i", integer=True)
    return Product(1 - i / T, (i, 1, j - 1)).doit()


@dataclass(frozen=True)
class CollapseRates:
    """Rates under replacement with ``T`` rows.

    Attributes:
        per_generation: Rate of the exponential decay of diversity and of the chance of no total collapse, ``-log(1 - 1/T)``.
        half_life: Generations in which the diversity halves, ``log 2 / rate``, which grows like ``T log 2``.
        onset: Rate at which the decay becomes a single exponential, ``-log(1 - 2/T)``.
        collapse_time: Leading order of the mean time of total collapse, ``-2 T sum (1-p) log(1-p)``, relative error O(1/T).
        error_exponent: ``gamma`` in ``E|p_hat - p|^2 ~ T^-gamma`` at a fixed number of generations.
    """

    per_generation: Expr
    half_life: Expr
    onset: Expr
    collapse_time: Expr
    error_exponent: Expr

    @staticmethod
    def of(p: np.ndarray) -> CollapseRates:
        """Return the rates for token probabilities ``p``.

        >>> CollapseRates.of(np.array([0.5, 0.5])).per_generation
        -log(1 - 1/T)
        """
        T, m = symbols.T, symbols.m
        rate = -log(eigenvalue(2))
        inside = p[(p > 0) & (p < 1)]
        entropy = -2 * float(((1 - inside) * np.log1p(-inside)).sum())
        variance = closed_forms.replace(RowLaw.TOKENS).variance
        exponent = -(T * variance.diff(T) / variance).subs(m, 1).cancel()
        return CollapseRates(rate, log(2) / rate, -log(eigenvalue(3) / eigenvalue(2)), Float(entropy) * T, S(exponent))
