r"""Terms that are affine from round to round, :math:`v_{k+1}=\alpha v_k+\beta`: in symbolic ``n``, and for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sympy import Expr, Symbol, factor

from collapse_theory.algebra.signs import positive_factors
from collapse_theory.algebra.special import GeometricSum
from collapse_theory.derive.exact import affine_closed_form
from collapse_theory.symbols import n

__all__ = ["for_ever", "in_rounds"]


def in_rounds(values: Sequence[Expr], at: Mapping[Symbol, Any]) -> Expr:
    r"""Return :math:`v_n=v_0+(v_1-v_0)\sum_{k<n}\alpha^k`, with :math:`\alpha` as a product.

    Args:
        values: The first three.
        at: A point at which factors are to be written positive.

    >>> from collapse_theory.symbols import w
    >>> in_rounds([w * 0, 1 - w, (1 - w) * (2 - w)], {w: 0.5})
    (1 - w)*GeometricSum(w, n)
    """
    v0, v1, v2 = values
    solved = affine_closed_form(v0, v1, v2, n)
    written = solved.replace(GeometricSum, lambda x, count: GeometricSum(1 - factor(1 - x), count))
    return positive_factors(written, at)


def for_ever(values: Sequence[Expr], at: Mapping[Symbol, Any]) -> Expr:
    r"""Return the fixed point :math:`\beta/(1-\alpha)`, in which the start no longer occurs.

    Args:
        values: The first three.
        at: A point at which factors are to be written positive.

    >>> from collapse_theory.symbols import w
    >>> for_ever([w * 0, 1 - w, (1 - w) * (2 - w)], {w: 0.5})
    (1 - w)/w
    """
    v0, v1, v2 = values
    ratio = factor((v2 - v1) / (v1 - v0))
    return positive_factors(factor(v1 - ratio * v0) / (1 - ratio), at)
