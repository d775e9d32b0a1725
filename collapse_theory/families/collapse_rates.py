r"""Rates of collapse under replacement: exponential in generations, polynomial in sample size.

The chain's eigenvalues are ``lambda_j = prod_{i<j} (1 - i/T)``; diversity and the chance of not having collapsed
decay like ``lambda_2^n = (1 - 1/T)^n``, a token's deviation from this single rate like
``(lambda_3/lambda_2)^n = (1 - 2/T)^n``.

Source: the eigenvalues of the Wright-Fisher chain, e.g. Ewens, Mathematical Population Genetics, 2004; the mean time of
collapse is the diffusion's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sympy import Dummy, Expr, Float, Product, S, log

from collapse_theory import symbols
from collapse_theory.describe.pipeline import Fit, Pipeline
from collapse_theory.families import closed_forms
from collapse_theory.families.calculus import RowLaw
from collapse_theory.families.sampling import Run, TokenSampler, numeric
from collapse_theory.simulate.trial import Setting, Trial

__all__ = ["CollapseRates", "NoTotalCollapse", "eigenvalue"]


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
        per_generation: Rate of the exponential decay of diversity and of the chance of no total collapse,
            ``-log(1 - 1/T)``.
        half_life: Generations in which the diversity halves, ``log 2 / rate``, which grows like ``T log 2``.
        onset: Rate at which the decay becomes a single exponential, ``-log(1 - 2/T)``.
        collapse_time: Leading order of the mean time of total collapse, ``-2 T sum (1-p) log(1-p)``, relative error
            O(1/T).
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
        T, n = symbols.T, symbols.n
        rate = -log(eigenvalue(2))
        inside = p[(p > 0) & (p < 1)]
        entropy = -2 * float(((1 - inside) * np.log1p(-inside)).sum())
        variance = closed_forms.replace(RowLaw.TOKENS).variance
        exponent = -(T * variance.diff(T) / variance).subs(n, 1).cancel()
        return CollapseRates(rate, log(2) / rate, -log(eigenvalue(3) / eigenvalue(2)), Float(entropy) * T, S(exponent))


@dataclass(frozen=True)
class NoTotalCollapse:
    """The event that the tested token model still has two tokens; simulated from ``tokens`` equally likely ones.

    Attributes:
        tokens: Vocabulary of the simulation.
    """

    tokens: int = 4
    symbol: ClassVar[str] = "P"
    quantity: ClassVar[str] = r"probability $P$ that the tested model has more than one token"

    def trial(self, pipeline: Pipeline, model: Fit, setting: Setting) -> Trial:
        """Return one simulated indicator of the event as a function of the generator."""
        return Run(numeric(pipeline, setting), model.index, _Collapse(np.full(self.tokens, 1 / self.tokens)))


class _Collapse(TokenSampler):
    """Token counts with the indicator of two tokens or more as the error."""

    def error(self, model: np.ndarray) -> float:
        """Return 1 if two tokens are left, else 0."""
        return float((model > 0).sum() > 1)
