r"""How much cancels in an expression.

The magnitude of an expression is its value with every difference made a sum,
:math:`\overline{a-b}=\overline a+\overline b`, products and powers as they are. An expression of accurate inputs has a
relative error of a few units of round-off times its magnitude over its size. Where the two agree by construction,
as in every sum of positive terms, there is nothing to watch.

Source: the condition of a sum, Higham, Accuracy and Stability of Numerical Algorithms, 2002, ch. 4.
"""

from __future__ import annotations

from functools import reduce
from operator import and_
from typing import Any

import numpy as np
from sympy import Abs, Add, Expr, Function, Mul, Pow, Symbol, preorder_traversal

from collapse_theory.numerics.arrays import namespace
from collapse_theory.symbols import Eigenvalue

__all__ = ["LOSS", "InputSum", "Magnitudes", "cancels", "input_sum"]

LOSS = 2.0**10
"""The factor of the round-off that is lost at most; with more, the value is computed in mpmath."""


class InputSum(Function):
    """The magnitude of a sum of inputs with integer coefficients: none of it cancels where the inputs are integers.

    Args:
        value: The sum.
        magnitude: The sum of the absolute values.
        inputs: The symbols.
    """


def input_sum(value: Any, magnitude: Any, *inputs: Any) -> Any:
    """Return the magnitude of a sum of inputs in float64."""
    if isinstance(value, float):  # one point: arrays would take ten times as long
        return abs(value) if all(x % 1 == 0 for x in inputs) else magnitude
    whole = reduce(and_, (x % 1 == 0 for x in inputs))
    return namespace(whole, value, magnitude).where(whole, abs(value), magnitude)


class Magnitudes:
    """Magnitudes of expressions in the inputs and results of a plan.

    Args:
        results: The symbols of computed numbers; the values of all others are exact.
        nonnegative: Those of them that are sums of non-negative terms.

    >>> from collapse_theory.symbols import T, kappa, sigma
    >>> of = Magnitudes(frozenset(), frozenset())
    >>> of(kappa * (sigma**2 - 3)), of.can_cancel(kappa * (sigma**2 - 3)), of.can_cancel(-2 / (kappa + sigma))
    (kappa*(sigma**2 + 3), True, False)
    """

    def __init__(self, results: frozenset[Symbol], nonnegative: frozenset[Symbol]) -> None:
        self.results, self.nonnegative = results, nonnegative
        self.known: dict[Expr, Expr] = {}

    def __call__(self, e: Expr) -> Expr:
        """Return the magnitude."""
        if e not in self.known:
            self.known[e] = self._of(e)
        return self.known[e]

    def can_cancel(self, e: Expr) -> bool:
        """Say whether a sum in the expression may be smaller than its terms."""
        return any(isinstance(a, Add) and self(a) not in (a, -a) for a in preorder_traversal(e))

    def _of(self, e: Expr) -> Expr:
        if isinstance(e, Add):
            return self._sum(e)
        if isinstance(e, Mul):
            return Mul(*(self(a) for a in e.args))
        if isinstance(e, Pow) and e.exp.is_number:
            base = self(e.base)
            if base == e.base:
                return e
            return base**e.exp if e.exp.is_positive else Abs(e.base) ** (2 * e.exp) * base ** (-e.exp)
        return e if e.is_nonnegative or e in self.nonnegative else Abs(e)

    def _sum(self, e: Expr) -> Expr:
        total = Add(*(self(a) for a in e.args))
        computed = any(x in self.results or isinstance(x, Eigenvalue) for x in e.free_symbols)
        if total == e or computed or not all(_term(a) for a in e.args):
            return total
        # Two exact terms round once; more may round in between, unless all are integers.
        if len(e.args) == 2 and all(abs(a.as_coeff_Mul()[0]) == 1 or a.is_Integer for a in e.args):
            return Abs(e)
        return InputSum(e, total, *sorted(e.free_symbols, key=lambda x: x.name))


def cancels(value: Any, size: Any) -> bool:
    """Say whether a value has lost digits against its magnitude anywhere."""
    return bool(np.any(np.abs(value) * LOSS < size))


def _term(a: Expr) -> bool:
    coefficient, rest = a.as_coeff_Mul()
    return coefficient.is_Integer and (rest.is_Symbol or rest == 1)
