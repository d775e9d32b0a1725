"""Products written with positive factors: ``(1 - w)(N - d - 1)``, where factoring may give ``(w - 1)(d + 1 - N)``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sympy import Expr, Mul, S, Symbol

__all__ = ["positive_factors"]


def positive_factors(e: Expr, at: Mapping[Symbol, Any]) -> Expr:
    """Return ``e`` with every sum that is a factor written as it is positive at a point; the value does not change.

    Args:
        e: An expression.
        at: A point of its domain. Sums whose sign it does not settle stay as they are.

    >>> from collapse_theory.symbols import n, w
    >>> positive_factors((w - 1) / (w - 2), {w: S.Half}), positive_factors((w - 1) ** (2 * n), {w: S.Half})
    ((1 - w)/(2 - w), (1 - w)**(2*n))
    """

    def signed(product: Expr) -> Expr:
        sign, factors = S.One, []
        for base, power in product.as_powers_dict().items():
            flips = base.is_Add and power.is_integer and base.subs(at).is_negative
            if flips or base == -1:
                sign *= (-1) ** power
            if base != -1:
                factors.append((-base if flips else base) ** power)
        return sign * Mul(*factors)  # at last: SymPy distributes a sign over a lone sum

    return e.replace(lambda x: x.is_Mul or x.is_Pow, signed)
